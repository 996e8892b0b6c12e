//! The kinds of refusals: the word that begins a refusal's request id, and that metrics and
//! findings go by. It must never grow with what clients send.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// Why a request was refused, in one word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As it stands in request ids and metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// Nobody is asked for a request: the user behind the connection is none of those who may connect.
    UserNotAllowed = "USER-NOT-ALLOWED";
    /// Not signed as it must be.
    NotAuthenticated = "NOT-AUTHENTICATED";
    /// No key, living or dead, has this id.
    KeyUnknown = "KEY-UNKNOWN";
    /// The key is dead.
    KeyRevoked = "KEY-REVOKED";
    /// The key, or its connection, is paused.
    KeyPaused = "KEY-PAUSED";
    /// The key's time is over.
    KeyExpired = "KEY-EXPIRED";
    /// The key may not be used from there.
    AddressNotAllowed = "ADDRESS-NOT-ALLOWED";
    /// The host header names somebody else.
    HostNotAllowed = "HOST-NOT-ALLOWED";
    /// The key lacks the right, or nobody has it.
    NotPermitted = "NOT-PERMITTED";
    /// The key was changed while the request was admitted.
    KeyChanged = "KEY-CHANGED";
    /// The connection has as many requests open as it may.
    ConnectionBusy = "CONNECTION-BUSY";
    /// The bucket to be made exists.
    BucketExists = "BUCKET-EXISTS";
    /// The object to be added exists, as the client suspected.
    ObjectExists = "OBJECT-EXISTS";
    /// The object to be added is being written.
    ObjectBusy = "OBJECT-BUSY";
    /// S3 knows it, the gateway does not.
    NotSupported = "NOT-SUPPORTED";
    /// The request makes no sense.
    NotValid = "NOT-VALID";
    /// The body is not the one that was announced.
    BodyRefused = "BODY-REFUSED";
    /// The provider did not answer.
    ProviderUnavailable = "PROVIDER-UNAVAILABLE";
    /// The provider sends elsewhere.
    ProviderRedirects = "PROVIDER-REDIRECTS";
    /// The provider named the bucket's region; the next request is signed for it.
    ProviderRegion = "PROVIDER-REGION";
    /// The provider takes no trailers; the next request has none.
    ProviderTrailers = "PROVIDER-TRAILERS";
    /// The provider takes no conditions on writes; the next request has none.
    ProviderConditions = "PROVIDER-CONDITIONS";
    /// The provider's clock and ours differ.
    ProviderClock = "PROVIDER-CLOCK";
    /// The provider refuses the connection's credentials.
    ProviderCredentials = "PROVIDER-CREDENTIALS";
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
