//! Each right on each row of the classification table, in every place that makes a difference: what
//! reaches the provider, and what becomes of what it keeps. The rights are written down here a
//! second time, by the names of the actions.

use bascule_domain::{
    key::{Key, Permission},
    operation::Action,
};
use bascule_gateway::Settings;
use bascule_sigv4::encode_path;
use http::Method;

use crate::{
    authentication::UNSIGNED,
    harness::{Forged, Pen, SECRET, Seen, World, key},
    routes::{ROUTES, Route, Rule},
};

/// What a right says about an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    Always,
    Never,
    /// Unless something is overwritten.
    Add,
    /// With uploads that the key began itself.
    Own,
    /// Both.
    OwnAdd,
    /// With locks.
    Lock,
}

/// The table of the rights.
fn may(permission: Permission, action: Action) -> May {
    let row = |read, append, write, keep| match permission {
        Permission::Read => read,
        Permission::Append => append,
        Permission::Write => write,
        Permission::ReadWriteNoDelete => keep,
        Permission::ReadWrite => May::Always,
    };
    use May::{Add, Always, Lock, Never, Own, OwnAdd};
    match action.name() {
        "ListBuckets"
        | "Preflight"
        | "CreateBucket"
        | "HeadBucket"
        | "GetBucketLocation"
        | "GetBucketVersioning"
        | "GetObjectLockConfiguration"
        | "GetBucketEncryption" => row(Always, Always, Always, Always),
        "PutObject" => row(Never, Add, Add, Always),
        "CopyObject" => row(Never, Add, Never, Always),
        "CreateMultipartUpload" => row(Never, Always, Always, Always),
        "UploadPart" | "AbortMultipartUpload" => row(Never, Own, Own, Always),
        "UploadPartCopy" => row(Never, Own, Never, Always),
        "CompleteMultipartUpload" => row(Never, OwnAdd, OwnAdd, Always),
        "PutObjectTagging" | "RestoreObject" => row(Never, Never, Never, Always),
        "DeleteObjectTagging" | "RenameObject" => row(Never, Never, Never, Never),
        "DeleteObject" | "DeleteObjects" => row(Never, Lock, Never, Never),
        name if name.starts_with("Get")
            || name.starts_with("List")
            || name.starts_with("Head")
            || name.starts_with("Select") =>
        {
            row(Always, Always, Never, Always)
        }
        other => panic!("{other} is in no row"),
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The key's prefix, if it has one.
    scope: Option<&'static str>,
    /// The folder of the object.
    folder: &'static str,
    lock: bool,
    exists: bool,
    /// Whether the upload is the key's own.
    own: bool,
}

const PLACES: [Place; 9] = [
    place(None, "a/", false, false, true),
    place(None, "a/", false, true, true),
    place(None, "a/", false, false, false),
    place(None, "locks/", true, true, true),
    place(None, "a/locks/", false, true, true),
    place(Some("a/"), "a/", false, false, true),
    place(Some("a/"), "a/", false, true, true),
    place(Some("a/"), "a/locks/", true, true, false),
    place(Some("a/"), "locks/", false, true, true),
];

const fn place(
    scope: Option<&'static str>,
    folder: &'static str,
    lock: bool,
    exists: bool,
    own: bool,
) -> Place {
    Place {
        scope,
        folder,
        lock,
        exists,
        own,
    }
}

impl Place {
    fn outside(self) -> bool {
        self.scope
            .is_some_and(|scope| !self.folder.starts_with(scope))
    }

    fn object(self) -> String {
        format!("/photos/{}b%20c", self.folder)
    }

    /// The route's request, in this place.
    fn request(self, world: &World, route: &Route, upload: &str) -> Forged {
        let folder = encode_path(self.folder.as_bytes()).replace('/', "%2F");
        let query: Vec<String> = route
            .query
            .iter()
            .map(|pair| match *pair {
                "prefix=a" => format!("prefix={folder}"),
                "marker=b" | "start-after=b" | "key-marker=b" => {
                    pair.replace("=b", &format!("={folder}b"))
                }
                "uploadId=u1" => format!("uploadId={upload}"),
                pair => pair.to_owned(),
            })
            .collect();
        let mut query: Vec<&str> = query.iter().map(String::as_str).collect();
        let listing = format!("prefix={folder}");
        if query.contains(&"versions") {
            query.push(&listing);
        }
        let path = if route.path.starts_with("/photos/a/") {
            self.object()
        } else {
            route.path.to_owned()
        };
        let mut request = Forged::new(world, route.method, &path, &query);
        for (name, value) in route.headers {
            let value = value.replace("/photos/", &format!("/photos/{}", self.folder));
            request = request.header(name, value);
        }
        let mut request = Pen::of(world).sign(request, Some(UNSIGNED));
        request.body = route
            .body
            .replace("<Key>a</Key>", &format!("<Key>{}b c</Key>", self.folder))
            .into_bytes();
        request
    }
}

/// Whether the rights let it through to the provider.
fn passes(permission: Permission, place: Place, route: &Route, action: Action) -> bool {
    let whole = ["location", "versioning", "object-lock", "encryption"];
    let fact = route.path == "/photos"
        && (route.method == "HEAD" || route.query.iter().any(|name| whole.contains(name)));
    let about_bucket = route.path == "/photos" && route.method == "GET" && !fact;
    let listing = action.name().starts_with("List");
    if about_bucket && !listing && place.scope.is_some() {
        return false;
    }
    if place.outside() && !fact {
        return false;
    }
    let lock = place.lock && permission == Permission::Append;
    match may(permission, action) {
        May::Always => true,
        May::Never => false,
        May::Add => lock || !place.exists,
        May::Own => place.own,
        May::OwnAdd => place.own && (lock || !place.exists),
        May::Lock => lock,
    }
}

fn look_or_proof(seen: &Seen, route: &Route) -> bool {
    seen.header("expect").is_some() || (seen.method == Method::HEAD && route.method != "HEAD")
}

async fn begin(world: &World, place: Place) -> String {
    let begun = Pen::of(world).sign(
        Forged::new(world, "POST", &place.object(), &["uploads"]),
        Some(UNSIGNED),
    );
    let mut client = world.dial().await;
    client.write(&begun.wire()).await;
    let text = client.reply(false).await.unwrap().text();
    let (_, rest) = text.split_once("<UploadId>").expect("an upload");
    rest.split_once('<').unwrap().0.to_owned()
}

/// Signs as another key of the same connection, which may do everything.
async fn begin_as_another(world: &mut World, place: Place) -> String {
    let another = key(2, Permission::ReadWrite);
    let id = another.access_key_id.clone();
    // It is there from the second time on.
    let _ = world.keyring.add_key(
        another,
        bascule_domain::secret::SecretKey::parse(SECRET).unwrap(),
    );
    let own = std::mem::replace(&mut world.credentials.access_key_id, id);
    let upload = begin(world, place).await;
    world.credentials.access_key_id = own;
    upload
}

fn holder(permission: Permission, scope: Option<&str>) -> Key {
    let mut key = key(1, permission);
    key.scope.prefixes = scope.iter().map(|prefix| prefix.parse().unwrap()).collect();
    key
}

#[tokio::test]
async fn each_right_on_each_row_lets_through_what_it_says_and_harms_nothing() {
    let (mut cases, mut passed, mut spared) = (0, 0, 0);
    for honours in [true, false] {
        for permission in Permission::ALL {
            for place in PLACES {
                let mut world =
                    World::with(holder(permission, place.scope), Settings::default()).await;
                for route in ROUTES {
                    let existing: &[&str] = &[&place.object(), "/photos/other"];
                    let stock = if place.exists {
                        existing
                    } else {
                        &existing[1..]
                    };
                    world.provider.stock(honours, stock);
                    let may_begin = may(permission, Action::CreateMultipartUpload) == May::Always;
                    let upload = if place.own && may_begin && !place.outside() {
                        begin(&world, place).await
                    } else {
                        begin_as_another(&mut world, place).await
                    };
                    world.idle().await;
                    world.provider.take();
                    let at = format!("{permission} {place:?} honours: {honours} {route:?}");

                    let request = place.request(&world, route, &upload);
                    let mut client = world.dial().await;
                    client.write(&request.wire()).await;
                    let reply = client.reply(route.method == "HEAD").await.expect(&at);
                    world.idle().await;
                    let seen: Vec<Seen> = world.provider.take();
                    let put: Vec<&Seen> = seen
                        .iter()
                        .filter(|seen| !look_or_proof(seen, route))
                        .collect();
                    cases += 1;

                    let held = matches!(permission, Permission::Append | Permission::Write);
                    let lock = place.lock && permission == Permission::Append;
                    if held || permission == Permission::Read {
                        let other = world.provider.stored("/photos/other");
                        let bulk = route.query.contains(&"delete") && lock;
                        assert!(other.is_some() || bulk, "{at}");
                        if place.exists && !lock {
                            let kept = world.provider.stored(&place.object());
                            assert_eq!(kept.as_deref(), Some(&b"as it was"[..]), "{at}");
                            spared += 1;
                        }
                    }
                    if permission == Permission::Write {
                        assert!(!reply.text().contains("as it was"), "{at}");
                    }
                    let overwriting = held && place.exists && !lock;
                    match route.rule {
                        Rule::Runs(action) if passes(permission, place, route, action) => {
                            passed += 1;
                            let [put] = put[..] else {
                                panic!("{at}: {reply:?} {seen:?}");
                            };
                            assert_eq!(put.method.as_str(), route.method, "{at}");
                            let adds =
                                matches!(may(permission, action), May::Add | May::OwnAdd) && !lock;
                            let asked = put.header("if-none-match") == Some("*");
                            assert_eq!(asked, adds, "{at}");
                            assert_eq!(
                                reply.status,
                                if route.method == "HEAD"
                                    && !place.exists
                                    && route.path != "/photos"
                                {
                                    404
                                } else {
                                    200
                                },
                                "{at}"
                            );
                        }
                        Rule::Answers(_, status) => {
                            assert!(put.is_empty(), "{at}: {seen:?}");
                            assert_eq!(reply.status, status, "{at}");
                        }
                        Rule::Runs(_) | Rule::Denied => {
                            // Where the provider is known to refuse, it is asked.
                            let asked = overwriting && honours && put.len() == 1;
                            if asked {
                                assert_eq!(put[0].header("if-none-match"), Some("*"), "{at}");
                            }
                            assert!(put.is_empty() || asked, "{at}: {seen:?}");
                            assert!(matches!(reply.status, 403 | 404 | 501), "{at}: {reply:?}");
                        }
                    }
                }
            }
        }
    }
    assert!(
        cases >= 7_700 && passed >= 2_500 && spared >= 2_700,
        "cases are missing: {cases} {passed} {spared}"
    );
}
