//! The cases B of the threat model: what a key may do. Every request here is signed rightly.

use std::net::SocketAddr;

use bascule_domain::key::{IpRule, Key, Permission};
use bascule_gateway::Settings;

use crate::{
    authentication::{EMPTY, UNSIGNED, accepted, refused},
    harness::{Forged, Line, Pen, Script, World, key},
    routes::{ROUTES, Rule},
};

fn limited(prefix: &str) -> Key {
    let mut key = key(1, Permission::ReadWrite);
    key.scope.prefixes = vec![prefix.parse().unwrap()];
    key
}

fn signed(world: &World, request: Forged) -> Forged {
    Pen::of(world).sign(request, Some(EMPTY))
}

#[tokio::test]
async fn b1_a_source_that_was_not_granted_is_denied_however_it_is_written() {
    let all = World::new().await;
    let part = World::with(limited("in/"), Settings::default()).await;
    let requests = |world: &World, source: &str| {
        let copy = |query: &[&str]| Forged::new(world, "PUT", "/photos/in/b", query);
        let mut requests: Vec<Forged> = [&[][..], &["partNumber=1", "uploadId=u1"]]
            .iter()
            .map(|query| signed(world, copy(query).header("x-amz-copy-source", source)))
            .collect();
        let rename = copy(&["renameObject"]).header("x-amz-rename-source", source);
        requests.push(signed(world, rename));
        let encoded = bascule_sigv4::encode_query(&[("X-Amz-Copy-Source".into(), source.into())]);
        requests.push(Pen::of(world).presign(copy(&[&encoded]), "60", UNSIGNED));
        requests
    };
    for source in [
        "/private/in/a",
        "private/in/a",
        "/%70rivate/in/a",
        "%2Fprivate%2Fin%2Fa",
        "private%2Fin/a",
        "/private/in/a?versionId=1",
        "/private/in/a?versionId=",
        "/PHOTOS/in/a",
        "/photos%20/in/a",
        "//photos/in/a",
        "/../photos/in/a",
        "arn:aws:s3:us-east-1:1:accesspoint/x/object/in/a",
        "http://other.test/photos/in/a",
    ] {
        for world in [&all, &part] {
            for request in requests(world, source) {
                refused(world, &request, 403, "AccessDenied").await;
            }
        }
    }
    for source in [
        "/photos/out/a",
        "photos/a",
        "/photos/%6Fut/a",
        "/photos/in%252Fa",
        "/photos/in/../out/a",
        "/photos/in/%2e%2e/out/a",
        "/photos/in/./a",
        "/photos/out/a?versionId=1",
        "/photos/in",
        "/photos//in/a",
        "/photos/IN/a",
        "/music/out/a",
    ] {
        for request in requests(&part, source) {
            refused(&part, &request, 403, "AccessDenied").await;
        }
    }
    for source in [
        "",
        "/",
        "/photos",
        "/photos/",
        "photos",
        "/photos/in/a?acl",
        "/photos/%FF",
    ] {
        for request in requests(&part, source) {
            refused(&part, &request, 400, "InvalidArgument").await;
        }
    }
    for prefix in ["in+/", "in /"] {
        let part = World::with(limited(prefix), Settings::default()).await;
        for request in requests(&part, "/photos/in+/a") {
            refused(&part, &request, 403, "AccessDenied").await;
        }
    }
    for (source, arrives) in [
        ("/photos/in/a", "/photos/in/a"),
        ("photos/in/%61", "/photos/in/a"),
        ("%2Fphotos%2Fin%2Fa b", "/photos/in/a%20b"),
        ("/photos/in/a+b%2Bc", "/photos/in/a+b%2Bc"),
        ("/music/in/a%3FversionId=1", "/music/in/a%3FversionId%3D1"),
        ("/music/in/a?versionId=v%2F1", "/music/in/a?versionId=v%2F1"),
    ] {
        let [copy, part_copy, rename, link] = &requests(&part, source)[..] else {
            panic!("four kinds");
        };
        for request in [copy, part_copy, link] {
            let seen = accepted(&part, request).await;
            assert_eq!(seen.header("x-amz-copy-source"), Some(arrives));
            let query = seen.uri.split_once('?').map_or("", |(_, query)| query);
            assert!(
                !query.to_lowercase().contains("copy-source"),
                "{}",
                seen.uri
            );
        }
        let seen = accepted(&part, rename).await;
        assert_eq!(seen.header("x-amz-rename-source"), Some(arrives));
    }
}

fn bulk(world: &World, body: impl Into<Vec<u8>>) -> Forged {
    let request = Forged::new(world, "POST", "/photos", &["delete"]).body(body);
    Pen::of(world).sign(request, Some(UNSIGNED))
}

#[tokio::test]
async fn b3_a_bulk_delete_has_one_reading_and_each_key_of_it_is_checked() {
    let world = World::with(limited("in/"), Settings::default()).await;
    let utf16: Vec<u8> = "\u{feff}<Delete><Object><Key>in/a</Key></Object></Delete>"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let object = "<Object><Key>in/a</Key></Object>";
    let many = format!("<Delete>{}</Delete>", object.repeat(1001));
    let nested = format!("{}{}", "<Delete>".repeat(500), "</Delete>".repeat(500));
    let wrap = |inner: &str| format!("<Delete>{inner}</Delete>").into_bytes();
    let declared =
        |declaration: &str| format!("{declaration}<Delete>{object}</Delete>").into_bytes();
    let ambiguous = [
        wrap("<Object><Key><![CDATA[in/a]]></Key></Object>"),
        wrap("<Object><Key>in/a<![CDATA[]]></Key></Object>"),
        wrap("<!-- <Object><Key>in/a</Key></Object> -->"),
        wrap("<Object><Key>in/<!-- x -->a</Key></Object>"),
        wrap("<Object><Key>in/<?x y?>a</Key></Object>"),
        wrap("<Object><Key>in/&a;</Key></Object>"),
        wrap("<Object><Key>in/&#x110000;</Key></Object>"),
        wrap("<Object><Key>in/&#;</Key></Object>"),
        wrap("<Object><Key>in/a</Key><Key>out/a</Key></Object>"),
        wrap("<Object><Key>in/a</Key></Object><Key>out/a</Key>"),
        wrap("<Object><Key>in/a</Key></Object>out/a"),
        wrap("<Object><Key><Key>in/a</Key></Key></Object>"),
        wrap("<Object><key>in/a</key></Object>"),
        wrap("<Object><Key>in/a</Key><Bypass>1</Bypass></Object>"),
        wrap("<Object><Key xml:space=\"preserve\">in/a</Key></Object>"),
        wrap("<Object Key=\"out/a\"><Key>in/a</Key></Object>"),
        wrap("<Object xmlns=\"urn:x\"><Key>in/a</Key></Object>"),
        wrap("<Object xmlns:s=\"urn:x\"><s:Key>out/a</s:Key><Key>in/a</Key></Object>"),
        wrap("<s:Object><Key>out/a</Key></s:Object><Object><Key>in/a</Key></Object>"),
        wrap("<Object/>"),
        wrap("<Object><Key/></Object>"),
        wrap("<Object></Object>"),
        wrap(""),
        b"<s:Delete xmlns:s=\"urn:x\"><Object><Key>in/a</Key></Object></s:Delete>".to_vec(),
        b"<Delete xmlns=\"a\" xmlns=\"b\"><Object><Key>in/a</Key></Object></Delete>".to_vec(),
        b"<Delete x=\"1\"><Object><Key>in/a</Key></Object></Delete>".to_vec(),
        b"<Delete><Object><Key>in/a</Key></Object></Delete><Delete><Object><Key>in/a</Key></Object></Delete>".to_vec(),
        b"<Delete><Object><Key>in/a</Key></Object>".to_vec(),
        b"<Delete><Object><Key>in/a</Object></Key></Delete>".to_vec(),
        b"<Delete><Object><Key>in/\xff</Key></Object></Delete>".to_vec(),
        utf16,
        declared("<!DOCTYPE Delete>"),
        declared("<!DOCTYPE Delete [<!ENTITY a \"out/a\">]>"),
        declared("<!DOCTYPE Delete SYSTEM \"http://127.0.0.1/x\">"),
        declared("<?xml version=\"1.0\" encoding=\"UTF-16\"?>"),
        declared("<?xml version=\"1.0\" encoding=\"UTF-7\"?>"),
        declared("<?xml version=\"1.0\" encoding='ISO-8859-1'?>"),
        declared("<?xml version=\"1.1\"?>"),
        declared("<?xml version=\"1.0\" standalone=\"no\"?><?xml version=\"1.0\"?>"),
        declared("<?xml-stylesheet href=\"x\"?>"),
        many.into_bytes(),
        nested.into_bytes(),
    ];
    for body in ambiguous {
        refused(&world, &bulk(&world, body), 400, "MalformedXML").await;
    }
    for key in [
        "out/a",
        "in",
        "",
        " in/a",
        "\nin/a",
        "/in/a",
        "&#x6F;ut/a",
        "IN/a",
        "in&#x2F;../out/a",
        "in/../out/a",
        "in/./a",
    ] {
        let body = format!("<Delete>{object}<Object><Key>{key}</Key></Object>{object}</Delete>");
        let reply = Line::new(&world).ask(&bulk(&world, body)).await.unwrap();
        let expected = if key.is_empty() { 400 } else { 403 };
        assert_eq!(reply.status, expected, "{key:?}: {}", reply.text());
        assert_eq!(world.provider.requests(), 0, "{key:?}");
    }
    let most = format!("<Delete>{}</Delete>", object.repeat(1000));
    for body in [
        &*most,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n  <Object>\n    <Key>in/a &amp; b&#x2F;c&#13;</Key>\n    <VersionId>v</VersionId></Object>\n</Delete>\n",
        "<?xml version='1.0' encoding='utf-8' standalone='yes'?><Delete><Quiet>false</Quiet><Object><Key>in/é</Key><ETag>\"e\"</ETag></Object></Delete>",
    ] {
        let seen = accepted(&world, &bulk(&world, body)).await;
        assert_eq!(seen.body, body.as_bytes(), "the same bytes");
    }
}

#[tokio::test]
async fn b4_a_prefix_key_learns_no_name_outside_its_prefix() {
    let world = World::with(limited("a/"), Settings::default()).await;
    let kinds: [(&[&str], &str); 4] = [
        (&[], "marker"),
        (&["list-type=2"], "start-after"),
        (&["versions"], "key-marker"),
        (&["uploads"], "key-marker"),
    ];
    for (kind, marker) in kinds {
        let list = |more: &[&str]| {
            let query = [kind, more].concat();
            signed(&world, Forged::new(&world, "GET", "/photos", &query))
        };
        for more in [
            &[][..],
            &["prefix="],
            &["prefix=a"],
            &["prefix=b%2F"],
            &["prefix=A%2F"],
            &["prefix=%2Fa%2F"],
            &["prefix=a%252F"],
            &["prefix=a%2F.."],
            &["prefix=a%2F..%2Fb%2F"],
            &["prefix=a%2F.%2Fb"],
            &["delimiter=%2F"],
            &["delimiter=%2F", "prefix="],
            &["delimiter=a", "prefix=a"],
            &["max-keys=1"],
            &["encoding-type=url", "prefix=b"],
        ] {
            let more: Vec<&str> = more
                .iter()
                .copied()
                // A listing of uploads has no such parameter.
                .filter(|pair| {
                    !(marker == "key-marker" && kind[0] == "uploads" && *pair == "max-keys=1")
                })
                .collect();
            refused(&world, &list(&more), 403, "AccessDenied").await;
        }
        for foreign in [
            "a",
            "b",
            "b%2Fc",
            "0",
            "a0",
            "%2Fa%2F",
            "a%2F..%2Fb",
            "%00",
            "A%2F",
        ] {
            let pair = format!("{marker}={foreign}");
            for delimiter in [&[][..], &["delimiter=%2F"]] {
                let more = [&["prefix=a%2F", &*pair], delimiter].concat();
                refused(&world, &list(&more), 403, "AccessDenied").await;
            }
        }
        for two in [
            ["prefix=a%2F", "prefix="],
            ["prefix=", "prefix=a%2F"],
            ["prefix=a%2F", "Prefix="],
        ] {
            refused(&world, &list(&two), 403, "AccessDenied").await;
        }
        let inside = format!("{marker}=a%2Fc");
        for more in [
            &["prefix=a%2F"][..],
            &["prefix=a%2Fb"],
            &["delimiter=%2F", "prefix=a%2F"],
            &[&inside, "prefix=a%2F"],
            &["prefix=a%2F", &format!("{marker}=")],
        ] {
            let seen = accepted(&world, &list(more)).await;
            assert!(seen.uri.contains("prefix=a%2F"), "{}", seen.uri);
        }
    }
    // What a page is continued with is the provider's own text; the prefix still bounds it.
    let next = [
        "continuation-token=b%2Fsecret",
        "list-type=2",
        "prefix=a%2F",
    ];
    let seen = accepted(
        &world,
        &signed(&world, Forged::new(&world, "GET", "/photos", &next)),
    )
    .await;
    assert!(seen.uri.ends_with("&prefix=a%2F"), "{}", seen.uri);
    for query in [
        "acl",
        "policy",
        "tagging",
        "lifecycle",
        "cors",
        "logging",
        "notification",
        "inventory",
        "replication",
    ] {
        let facts = signed(&world, Forged::new(&world, "GET", "/photos", &[query]));
        refused(&world, &facts, 403, "AccessDenied").await;
    }
    for path in ["/photos/a", "/photos/b", "/photos/%61", "/photos/a%252Fb"] {
        for query in [
            &[][..],
            &["uploadId=u1"],
            &["versionId=1"],
            &["acl"],
            &["attributes"],
        ] {
            let read = signed(&world, Forged::new(&world, "GET", path, query));
            refused(&world, &read, 403, "AccessDenied").await;
        }
    }
    // The list of buckets names those that the key may use, and nothing of what is in them.
    let mut one = limited("a/");
    one.scope.buckets = ["music".parse().unwrap()].into();
    let world = World::with(one, Settings::default()).await;
    let buckets = signed(&world, Forged::new(&world, "GET", "/", &[]));
    let text = Line::new(&world).ask(&buckets).await.unwrap().text();
    assert!(text.contains("music") && !text.contains("photos"), "{text}");
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn b5_what_no_row_names_is_denied() {
    let world = World::new().await;
    let mut line = Line::new(&world);
    let names = [
        "accelerate",
        "acl",
        "analytics",
        "append",
        "attributes",
        "cors",
        "delete",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "list-type",
        "location",
        "logging",
        "metadataConfiguration",
        "metadataInventoryTable",
        "metadataJournalTable",
        "metadataTable",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "partNumber",
        "policy",
        "policyStatus",
        "position",
        "publicAccessBlock",
        "rename",
        "renameObject",
        "replication",
        "replication-metrics",
        "requestPayment",
        "restore",
        "retention",
        "select",
        "session",
        "sts",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
        "x-amz-acl",
        "Acl",
        "POLICY",
        "abac",
        "force",
        "recursive",
        "continuation-token",
        "prefix",
        "surprise",
        "",
    ];
    // Names that narrow a request without being one of their own.
    let narrows = [
        ("GET", "versionId"),
        ("HEAD", "versionId"),
        ("DELETE", "versionId"),
        ("GET", "partNumber"),
        ("HEAD", "partNumber"),
    ];
    let mut denied = 0;
    for path in ["/photos", "/photos/a"] {
        let object = path != "/photos";
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"] {
            for name in names {
                for value in ["", "1"] {
                    let known = ROUTES.iter().any(|route| {
                        let own: Vec<&str> = route
                            .query
                            .iter()
                            .map(|pair| pair.split('=').next().unwrap())
                            .collect();
                        route.method == method
                            && route.path.starts_with("/photos/") == object
                            && route.rule != Rule::Denied
                            && own.contains(&name)
                    });
                    let narrow = object && narrows.contains(&(method, name));
                    let lists = ["prefix", "continuation-token"].contains(&name);
                    let list = !object && method == "GET" && lists;
                    if known || narrow || list {
                        continue;
                    }
                    let pair = format!("{name}={value}");
                    let request = signed(&world, Forged::new(&world, method, path, &[&pair]));
                    let reply = line.ask(&request).await.unwrap();
                    assert_eq!(reply.status, 403, "{request:?}: {}", reply.text());
                    assert_eq!(world.provider.requests(), 0, "{request:?}");
                    denied += 1;
                }
            }
        }
    }
    assert!(denied >= 1_150, "{denied}");
    for (method, path, query) in [
        ("POST", "/photos", &["delete", "uploads"][..]),
        ("POST", "/photos/a", &["uploadId=1", "uploads"]),
        ("POST", "/photos/a", &["restore", "uploads"]),
        ("GET", "/photos", &["acl", "uploads"]),
        ("GET", "/photos", &["list-type=2", "versions"]),
        ("GET", "/photos/a", &["acl", "versionId=1", "tagging"]),
        ("GET", "/photos/a", &["uploadId=1", "versionId=1"]),
        (
            "PUT",
            "/photos/a",
            &["partNumber=1", "tagging", "uploadId=1"],
        ),
        ("PUT", "/photos/a", &["acl", "partNumber=1", "uploadId=1"]),
        ("DELETE", "/photos/a", &["tagging", "uploadId=1"]),
        ("DELETE", "/photos/a", &["uploadId=1", "versionId=1"]),
    ] {
        let request = signed(&world, Forged::new(&world, method, path, query));
        refused(&world, &request, 403, "AccessDenied").await;
    }
}

#[tokio::test]
async fn b6_no_key_bypasses_governance() {
    let world = World::new().await;
    let name = "x-amz-bypass-governance-retention";
    for (method, path, query) in [
        ("DELETE", "/photos/a", &[][..]),
        ("DELETE", "/photos/a", &["versionId=1"]),
        ("POST", "/photos", &["delete"]),
        ("PUT", "/photos/a", &["retention"]),
        ("PUT", "/photos/a", &[]),
        ("GET", "/photos/a", &[]),
    ] {
        for value in ["true", "TRUE", "false", "1", ""] {
            let ask = || Forged::new(&world, method, path, query);
            let request = signed(&world, ask().header(name, value));
            refused(&world, &request, 403, "AccessDenied").await;
            let mut hoisted = ask();
            hoisted
                .query
                .push(format!("X-Amz-Bypass-Governance-Retention={value}"));
            let link = Pen::of(&world).presign(hoisted, "60", UNSIGNED);
            refused(&world, &link, 403, "AccessDenied").await;
        }
    }
}

#[tokio::test]
async fn b7_an_issued_key_reaches_nothing_that_makes_reads_or_widens_keys() {
    let world = World::new().await;
    for (method, path, query, body) in [
        (
            "POST",
            "/",
            &[][..],
            "Action=CreateAccessKey&Version=2010-05-08",
        ),
        ("POST", "/", &["Action=AssumeRole"], ""),
        ("GET", "/", &["Action=ListAccessKeys"], ""),
        (
            "GET",
            "/",
            &["Action=GetSessionToken", "Version=2011-06-15"],
            "",
        ),
        ("GET", "/photos", &["session"], ""),
        ("POST", "/WriteGetObjectResponse", &[], "x"),
        ("GET", "/minio/admin/v3/list-users", &[], ""),
        ("PUT", "/minio/admin/v3/add-service-account", &[], "{}"),
        ("POST", "/admin/user", &["key", "uid=a"], ""),
        ("PUT", "/admin/user", &["caps"], ""),
        ("GET", "/admin/metadata/user", &[], ""),
        ("POST", "/bascule.v1.Keys/Issue", &[], "x"),
        ("POST", "/bascule.v1.Connections/List", &[], "x"),
        (
            "POST",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            &[],
            "x",
        ),
        ("GET", "/metrics", &[], ""),
        ("GET", "/health", &[], ""),
        ("GET", "/keys", &[], ""),
    ] {
        let request = Forged::new(&world, method, path, query).body(body);
        let request = Pen::of(&world).sign(request, Some(UNSIGNED));
        let reply = Line::new(&world).ask(&request).await.unwrap();
        assert_eq!(
            reply.status,
            403,
            "{method} {path} {query:?}: {}",
            reply.text()
        );
        let text = reply.text();
        assert!(
            !text.contains("PROVIDERKEY") && !text.contains("providersecret"),
            "{text}"
        );
    }
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn b4_how_much_a_bucket_holds_is_for_keys_that_may_list_all_of_it() {
    for (key, told) in [
        (key(1, Permission::Read), true),
        (key(1, Permission::Append), true),
        (key(1, Permission::Write), false),
        (limited("a/"), false),
    ] {
        let world = World::with(key, Settings::default()).await;
        let head = |query: &[&str]| signed(&world, Forged::new(&world, "HEAD", "/photos", query));
        if told {
            accepted(&world, &head(&["read-stats=true"])).await;
        } else {
            let mut client = world.dial().await;
            client.write(&head(&["read-stats=true"]).wire()).await;
            assert_eq!(client.reply(true).await.unwrap().status, 403);
            assert_eq!(world.provider.requests(), 0);
        }
        world.provider.script(
            Script::new(200, "")
                .header("x-rgw-object-count", "7")
                .header("x-amz-bucket-region", "r"),
        );
        let mut client = world.dial().await;
        client.write(&head(&[]).wire()).await;
        let reply = client.reply(true).await.unwrap();
        assert_eq!(reply.header("x-rgw-object-count").is_some(), told);
        assert!(reply.header("x-amz-bucket-region").is_some());
    }
}

#[tokio::test]
async fn b8_only_the_sockets_peer_counts_and_a_mapped_one_is_its_ipv4() {
    // A socket of the mapped loopback address: its peers show as ::ffff:127.0.0.1.
    let mapped: SocketAddr = "[::ffff:127.0.0.1]:0".parse().unwrap();
    let listeners = ["127.0.0.1:0".parse().unwrap(), mapped];
    for listen in listeners {
        for (rules, admitted) in [
            (&[][..], true),
            (&["127.0.0.1/32"], true),
            (&["127.0.0.0/8"], true),
            (&["192.0.2.0/24"], false),
            (&["::1/128"], false),
        ] {
            let mut key = key(1, Permission::ReadWrite);
            key.scope.addresses = rules
                .iter()
                .map(|rule| IpRule(rule.parse().unwrap()))
                .collect();
            let world = World::listening(listen, key, Settings::default()).await;
            let get = || Forged::new(&world, "GET", "/photos/a", &[]);
            for (name, value) in [
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-for", "127.0.0.1, 192.0.2.1"),
                ("forwarded", "for=192.0.2.1"),
                ("x-real-ip", "192.0.2.1"),
                ("x-client-ip", "::1"),
                ("true-client-ip", "192.0.2.1"),
                ("cf-connecting-ip", "192.0.2.1"),
                ("x-forwarded-host", "photos.other.test"),
                ("x-forwarded-proto", "https"),
                ("accept", "*/*"),
            ] {
                let request = signed(&world, get()).header(name, value);
                let reply = Line::new(&world).ask(&request).await.unwrap();
                // A vendor's header is refused by its name, whoever sends it.
                let vendor = name.starts_with("cf-");
                let expected = match (admitted, vendor) {
                    (false, _) => 403,
                    (true, true) => 501,
                    (true, false) => 200,
                };
                assert_eq!(
                    reply.status,
                    expected,
                    "{listen} {rules:?} {name}: {}",
                    reply.text()
                );
                let seen = world.provider.take();
                assert_eq!(seen.len(), usize::from(expected == 200), "{rules:?} {name}");
                assert!(
                    seen.iter()
                        .all(|seen| name == "accept" || seen.header(name).is_none())
                );
            }
        }
    }
}

#[tokio::test]
async fn b9_headers_named_like_policy_change_nothing() {
    let mut reader = key(1, Permission::Read);
    reader.scope.prefixes = vec!["in/".parse().unwrap()];
    let world = World::with(reader, Settings::default()).await;
    for (name, value) in [
        ("x-bascule-key", "admin"),
        ("x-bascule-permission", "read-write"),
        ("x-bascule-prefix", ""),
        ("x-bascule-connection", "other"),
        ("x-bascule-internal", "true"),
        ("bascule-scope", "*"),
        ("x-internal-policy", "allow"),
        ("x-permission", "readwrite"),
        ("x-policy", "{\"Statement\":[]}"),
        ("x-s3-access-key", "PROVIDERKEY"),
        ("x-original-url", "/photos/in/a"),
        ("x-rewrite-url", "/photos/in/a"),
        ("x-http-method-override", "GET"),
        ("x-remote-user", "root"),
        ("x-auth-token", "token"),
        ("aws-principaltype", "Account"),
        ("s3-signatureversion", "none"),
        ("x-amz-meta-s3-prefix", "out/"),
    ] {
        for (method, path) in [
            ("PUT", "/photos/in/a"),
            ("DELETE", "/photos/in/a"),
            ("GET", "/photos/out/a"),
        ] {
            let request = signed(
                &world,
                Forged::new(&world, method, path, &[]).header(name, value),
            );
            refused(&world, &request, 403, "AccessDenied").await;
        }
        let right = signed(
            &world,
            Forged::new(&world, "GET", "/photos/in/a", &[]).header(name, value),
        );
        let seen = accepted(&world, &right).await;
        assert_eq!(seen.header(name), None, "{name} reached the provider");
    }
}
