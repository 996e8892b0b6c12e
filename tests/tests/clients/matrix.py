"""The same requests, word for word, wherever they go: what came back is printed as JSON, one case a line.

argv: address of the server, and four buckets: plain, versioned, with object lock, and one that the key may not use.
"""

import datetime, json, os, sys
from urllib.parse import quote as percent

from wire import CHECKSUMS, Story, Wire, element, md5, sha256

address, plain, versioned, locked, foreign = sys.argv[1:]
wire = Wire(address, os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
story = Story(wire, {plain: "PLAIN", versioned: "VERSIONED", locked: "LOCKED", foreign: "FOREIGN"})
case, kept = story.case, story.kept
body = bytes(range(256)) * 4
PART = 5 << 20


def call(name, method, key=None, query=(), headers=(), data=b"", bucket=plain, keep=(), **more):
    """Names like `a=1&b` are the query."""
    if isinstance(query, str):
        query = [(n, v) for n, _, v in (pair.partition("=") for pair in query.split("&"))] if query else []
    path = f"/{bucket}" + ("" if key is None else f"/{key}")
    if isinstance(headers, dict):
        headers = list(headers.items())
    return case(name, wire.call(method, path, query, headers, data, **more), keep)


def put(key, data=body, bucket=plain, **headers):
    """Without a case of its own."""
    sent = [(name.replace("_", "-"), value) for name, value in headers.items()]
    status, answer, text = wire.call("PUT", f"/{bucket}/{key}", (), sent, data)
    assert status == 200, (key, status, text)
    return dict(answer)


def bodies():
    """Every form of a body, empty, small, and of several chunks."""
    sizes = {"empty": b"", "small": body, "chunks": body * 200}
    for size, data in sizes.items():
        for payload in ["literal", "unsigned", "signed-chunks", "unsigned-trailer"]:
            call(f"put {size} {payload}", "PUT", f"bodies/{payload}/{size}", data=data, payload=payload)
            call(f"get {size} {payload}", "GET", f"bodies/{payload}/{size}")
        for payload in ["signed-chunks", "unsigned-trailer"]:
            for algorithm, sum_of in CHECKSUMS.items():
                name = f"x-amz-checksum-{algorithm}"
                key = f"trailers/{payload}/{algorithm}/{size}"
                call(f"put {size} {payload} {algorithm}", "PUT", key, data=data, payload=payload, trailers=[(name, sum_of(data))],
                     headers={"x-amz-sdk-checksum-algorithm": algorithm.upper()})
                call(f"head {size} {payload} {algorithm}", "HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"})
    for algorithm, sum_of in CHECKSUMS.items():
        name = f"x-amz-checksum-{algorithm}"
        call(f"put header {algorithm}", "PUT", f"sums/{algorithm}", data=body, headers={name: sum_of(body)})
        call(f"get header {algorithm}", "GET", f"sums/{algorithm}", headers={"x-amz-checksum-mode": "ENABLED"})
        call(f"get header {algorithm} unasked", "GET", f"sums/{algorithm}")
        call(f"attributes {algorithm}", "GET", f"sums/{algorithm}", "attributes", {"x-amz-object-attributes": "ETag,Checksum,ObjectSize,StorageClass,ObjectParts"})
        call(f"put wrong header {algorithm}", "PUT", "sums/wrong", data=body, headers={name: sum_of(b"other")})
        call(f"put malformed header {algorithm}", "PUT", "sums/wrong", data=body, headers={name: "AAA"})
        for payload in ["signed-chunks", "unsigned-trailer"]:
            call(f"put wrong trailer {payload} {algorithm}", "PUT", "sums/wrong", data=body, payload=payload, trailers=[(name, sum_of(b"other"))])
    call("put two checksums", "PUT", "sums/two", data=body, headers={f"x-amz-checksum-{a}": CHECKSUMS[a](body) for a in ["crc32", "sha1"]})
    call("put algorithm without sum", "PUT", "sums/none", data=body, headers={"x-amz-sdk-checksum-algorithm": "CRC32"})
    call("put algorithm of another", "PUT", "sums/other", data=body, headers={"x-amz-sdk-checksum-algorithm": "SHA1", "x-amz-checksum-crc32": CHECKSUMS["crc32"](body)})
    call("put unknown algorithm", "PUT", "sums/unknown", data=body, headers={"x-amz-sdk-checksum-algorithm": "MD4"})
    call("get wrong sums", "GET", "sums/wrong")
    call("put content-md5", "PUT", "md5", data=body, headers={"content-md5": md5(body)})
    call("put wrong content-md5", "PUT", "md5", data=body, headers={"content-md5": md5(b"")})
    call("put malformed content-md5", "PUT", "md5", data=body, headers={"content-md5": "AAAA"})
    call("put empty content-md5", "PUT", "md5", data=body, headers={"content-md5": ""})
    call("put gzip in chunks", "PUT", "gzip", data=body, payload="signed-chunks", headers={"content-encoding": "gzip,aws-chunked"})
    call("head gzip in chunks", "HEAD", "gzip")
    call("put gzip in trailer", "PUT", "gzip2", data=body, payload="unsigned-trailer", headers={"content-encoding": "gzip, aws-chunked"}, trailers=[("x-amz-checksum-crc32", CHECKSUMS["crc32"](body))])
    call("head gzip in trailer", "HEAD", "gzip2")
    call("put identity", "PUT", "identity", data=body, headers={"content-encoding": "identity"})
    call("head identity", "HEAD", "identity")
    for size in [1, 100, 8192]:
        call(f"put chunks of {size}", "PUT", f"chunks/{size}", data=body, payload="signed-chunks", chunk=size)
        call(f"put trailing chunks of {size}", "PUT", f"chunks/{size}", data=body, payload="unsigned-trailer", chunk=size, trailers=[("x-amz-checksum-crc32", CHECKSUMS["crc32"](body))])
    call("put wrong literal", "PUT", "wrong", data=body, payload=sha256(b"other"))
    call("put damaged chunk", "PUT", "wrong", data=body, payload="signed-chunks", damage=lambda b: b.replace(b"\x10\x11", b"\x11\x10", 1))
    call("put short decoded length", "PUT", "wrong", data=body, payload="signed-chunks", decoded=len(body) - 1)
    call("put no decoded length", "PUT", "wrong", data=body, payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD", decoded="")
    call("put odd payload", "PUT", "wrong", data=body, payload="nonsense")
    call("get wrong bodies", "GET", "wrong")
    call("put no length", "PUT", "wrong", length=False, payload="unsigned")


def reads():
    put("read", body, content_type="text/x-read", cache_control="no-store", content_disposition='attachment; filename="ä b.txt"',
        content_language="de, en", expires="Wed, 21 Oct 2037 07:28:00 GMT", x_amz_meta_one="1", x_amz_meta_TWO="2  two", x_amz_meta_empty="")
    for method in ["GET", "HEAD"]:
        call(f"{method} plain", method, "read")
        for spec in ["bytes=0-0", "bytes=3-9", "bytes=-5", "bytes=1000-", "bytes=0-99999", "bytes=1024-", "bytes=9-3", "bytes=-0", "bytes=", "bytes=a-b",
                     "bytes=0-1,5-6", "chunks=0-1", "bytes=-2000", "bytes = 0-1", "Bytes=0-1"]:
            call(f"{method} range {spec}", method, "read", headers={"range": spec})
        for part in ["1", "2", "0", "-1", "x", "10001"]:
            call(f"{method} part {part}", method, "read", f"partNumber={part}")
        call(f"{method} part and range", method, "read", "partNumber=1", {"range": "bytes=0-1"})
        call(f"{method} missing", method, "missing")
        call(f"{method} missing version", method, "read", "versionId=11111111-1111-1111-1111-111111111111")
        call(f"{method} malformed version", method, "read", "versionId=x")
        call(f"{method} null version", method, "read", "versionId=null")
        call(f"{method} empty version", method, "read", "versionId=")
        for name in ["content-type", "content-language", "content-disposition", "content-encoding", "cache-control", "expires"]:
            call(f"{method} response-{name}", method, "read", [(f"response-{name}", "Wed, 21 Oct 2037 07:28:00 GMT" if name == "expires" else "x/ü; a=\"b\"")])
        call(f"{method} all overrides", method, "read", "response-content-type=a/b&response-cache-control=no-cache&x-id=GetObject")
        past, later = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
        etag = '"' + __import__("hashlib").md5(body).hexdigest() + '"'
        for name, headers in {
            "match": {"if-match": etag}, "match bare": {"if-match": etag.strip('"')}, "match any": {"if-match": "*"}, "no match": {"if-match": '"x"'},
            "match list": {"if-match": f'"x", {etag}'}, "none match": {"if-none-match": etag}, "none match any": {"if-none-match": "*"},
            "none match weak": {"if-none-match": "W/" + etag}, "none match other": {"if-none-match": '"x"'},
            "modified past": {"if-modified-since": past}, "modified later": {"if-modified-since": later}, "unmodified past": {"if-unmodified-since": past},
            "unmodified later": {"if-unmodified-since": later}, "malformed date": {"if-modified-since": "yesterday"},
            "match, unmodified past": {"if-match": etag, "if-unmodified-since": past}, "none match, modified past": {"if-none-match": etag, "if-modified-since": past},
            "range in match": {"if-match": etag, "range": "bytes=0-4"}, "if-range": {"if-range": etag, "range": "bytes=0-4"}, "if-range other": {"if-range": '"x"', "range": "bytes=0-4"},
        }.items():
            call(f"{method} if {name}", method, "read", headers=headers)
        call(f"{method} if match, missing", method, "missing", headers={"if-match": etag})
        call(f"{method} accept gzip", method, "read", headers={"accept-encoding": "gzip"})
    put("packed", __import__("gzip").compress(body, mtime=0), content_encoding="gzip", content_type="text/plain")
    for encoding in ["gzip", "identity", "br, gzip;q=0.5", "*"]:
        call(f"get packed as {encoding}", "GET", "packed", headers={"accept-encoding": encoding})
    call("head packed", "HEAD", "packed", headers={"accept-encoding": "gzip"})
    call("get directory", "GET", "read/")
    call("get acl", "GET", "read", "acl")
    call("get acl missing", "GET", "missing", "acl")
    call("get torrent", "GET", "read", "torrent")
    call("attributes", "GET", "read", "attributes", {"x-amz-object-attributes": "ETag,ObjectSize,StorageClass"})
    call("attributes one", "GET", "read", "attributes", {"x-amz-object-attributes": "ObjectSize"})
    call("attributes none", "GET", "read", "attributes")
    call("attributes unknown", "GET", "read", "attributes", {"x-amz-object-attributes": "Colour"})
    call("attributes missing", "GET", "missing", "attributes", {"x-amz-object-attributes": "ETag"})
    call("retention without lock", "GET", "read", "retention")
    call("legal hold without lock", "GET", "read", "legal-hold")
    call("select", "POST", "read", "select&select-type=2", data=b"<SelectObjectContentRequest/>")
    call("restore", "POST", "read", "restore", data=b'<RestoreRequest><Days>1</Days></RestoreRequest>')


def names():
    """Keys, metadata and parameters that somebody encodes, folds or trims."""
    for key in ["a b", "a+b", "a%2Fb", "a%20b", "%", "%zz", "@()*'!=", "~-._", "&?#;:,$[]{}|^`", "\"<>&", "\\", "😀/日本語", "e\u0301", "é", "a//b", "/lead", "//", "trail/",
                "trail//", ".hidden", "a/.b", "...", "a/...", " ", " lead", "trail ", "\t", "\n", "\x7f", "\x01", "\u00a0", "\u2028", "x" * 255, "x" * 256, "x" * 1024, "x" * 1025,
                "y/" * 500, "a=b", "uploads", "acl?acl", "a;b", "$dollar", "UPPER", "ümläut", "\U0010ffff", "con", "a:b", "a*b", "?", "#"]:
        shown = key if len(key) < 40 else f"{key[:10]} of {len(key)}"
        call(f"put key {shown!r}", "PUT", key, data=key.encode(), headers={"x-amz-meta-key": percent(key[:50])})
        call(f"get key {shown!r}", "GET", key)
        call(f"list key {shown!r}", "GET", None, [("list-type", "2"), ("prefix", key), ("encoding-type", "url"), ("max-keys", "2")])
        call(f"copy key {shown!r}", "PUT", "copied " + key[:200], headers={"x-amz-copy-source": percent(f"/{plain}/{key}")})
        call(f"delete key {shown!r}", "DELETE", key)
    for key in [".", "..", "a/./b", "a/../b", "../x", "a/.."]:
        call(f"put dots {key!r}", "PUT", key, data=b"dots")
        call(f"get dots {key!r}", "GET", key)
    for name, target in {
        "lower hex": "/a%c3%a9", "plain at": "/a@b", "escaped tilde": "/%7Eb", "raw plus": "/a+b", "escaped letters": "/%61%62", "raw quote": "/it's", "raw star": "/a*(b)!",
    }.items():
        # What is signed is the canonical form of it.
        decoded = __import__("urllib.parse").parse.unquote(target)
        call(f"wire {name}", "PUT", decoded[1:], data=b"wire", target=f"/{plain}{target}")
        call(f"wire {name} is there", "GET", decoded[1:])
    for name, value in {"plain": "a", "utf8": "ünïcödé 😀", "latin": "é".encode("latin-1"), "spaces": " a  b ", "long": "v" * 1500, "too long": "v" * 9000, "quoted": '"a", b', "encoded": "=?UTF-8?B?w6k=?=",
                        "percent": "%C3%A9", "colon": "a:b", "tab": "a\tb", "blanks": "   ", "twice  blank": "a   b"}.items():
        call(f"put meta {name}", "PUT", f"meta/{name}", data=b"", headers={"x-amz-meta-" + name.replace(" ", "-"): value})
        call(f"head meta {name}", "HEAD", f"meta/{name}")
    wire.call("DELETE", f"/{plain}/meta/tab")
    call("put meta name", "PUT", "meta/name", headers={"X-Amz-Meta-MiXed_under.dot": "1"})
    call("head meta name", "HEAD", "meta/name")
    call("put meta twice", "PUT", "meta/twice", headers=[("x-amz-meta-a", "1"), ("x-amz-meta-a", "2")])
    call("head meta twice", "HEAD", "meta/twice")
    call("put many metas", "PUT", "meta/many", headers=[(f"x-amz-meta-{n}", "v" * 20) for n in range(60)])
    call("head many metas", "HEAD", "meta/many")
    call("put meta empty name", "PUT", "meta/empty", headers={"x-amz-meta-": "1"})
    for name, headers in {"class": {"x-amz-storage-class": "STANDARD"}, "reduced": {"x-amz-storage-class": "REDUCED_REDUNDANCY"}, "unknown class": {"x-amz-storage-class": "GOLD"},
                          "private": {"x-amz-acl": "private"}, "owner": {"x-amz-acl": "bucket-owner-full-control"}, "redirect": {"x-amz-website-redirect-location": "/other"},
                          "owner account": {"x-amz-expected-bucket-owner": "123456789012"}, "payer": {"x-amz-request-payer": "requester"},
                          "tags": {"x-amz-tagging": "a=1&b=%20two"}, "malformed tags": {"x-amz-tagging": "a=1&a=2"}, "unsigned type": {},
                          "expires": {"expires": "never"}, "odd type": {"content-type": "nonsense"}, "no type": {"content-type": ""}, "wide type": {"content-type": "a/b;  c=d"}, "plus tags": {"x-amz-tagging": "a+b=c+d&%C3%BC=%2B"}, "odd disposition": {"content-disposition": "inline; filename*=UTF-8''%e2%82%ac"}, "twice cache": {"cache-control": "no-cache,  no-store"}, "kms": {"x-amz-server-side-encryption": "aws:kms"},
                          "sse": {"x-amz-server-side-encryption": "AES256"}, "sse unknown": {"x-amz-server-side-encryption": "ROT13"}}.items():
        call(f"put with {name}", "PUT", f"with/{name}", data=b"with", headers=headers)
        call(f"head with {name}", "HEAD", f"with/{name}")
    key = b"k" * 32
    from base64 import b64encode
    customer = {"x-amz-server-side-encryption-customer-algorithm": "AES256", "x-amz-server-side-encryption-customer-key": b64encode(key).decode(),
                "x-amz-server-side-encryption-customer-key-md5": md5(key)}
    call("put with customer key", "PUT", "with/key", data=b"with", headers=customer)
    call("get with customer key", "GET", "read", headers=customer)


def writes():
    call("put if none", "PUT", "write", data=b"1", headers={"if-none-match": "*"}, keep=[("etag", "etag")])
    call("put if none again", "PUT", "write", data=b"2", headers={"if-none-match": "*"})
    call("put if none match other", "PUT", "write", data=b"2", headers={"if-none-match": '"x"'})
    call("put if match", "PUT", "write", data=b"2", headers={"if-match": kept["etag"]})
    call("put if match old", "PUT", "write", data=b"3", headers={"if-match": kept["etag"]})
    call("put if match missing", "PUT", "write/missing", data=b"3", headers={"if-match": kept["etag"]})
    call("put expect", "PUT", "write", data=body, headers={"expect": "100-continue"})
    call("get write", "GET", "write")
    call("delete", "DELETE", "write")
    call("delete again", "DELETE", "write")
    call("delete version", "DELETE", "write", "versionId=null")
    put("write", b"1")
    call("delete if match other", "DELETE", "write", headers={"if-match": '"x"'})
    call("head after delete if match", "HEAD", "write")
    # Copies.
    put("source", body, content_type="text/x-source", x_amz_meta_a="1", x_amz_tagging="t=1")
    source = f"/{plain}/source"
    call("copy", "PUT", "copy", headers={"x-amz-copy-source": source})
    call("head copy", "HEAD", "copy")
    call("copy tags", "GET", "copy", "tagging")
    call("copy without slash", "PUT", "copy2", headers={"x-amz-copy-source": source[1:]})
    call("copy replace", "PUT", "copy3", headers={"x-amz-copy-source": source, "x-amz-metadata-directive": "REPLACE", "content-type": "a/b", "x-amz-meta-b": "2"})
    call("head copy replace", "HEAD", "copy3")
    call("copy replace tags", "PUT", "copy4", headers={"x-amz-copy-source": source, "x-amz-tagging-directive": "REPLACE", "x-amz-tagging": "u=2"})
    call("copy replaced tags", "GET", "copy4", "tagging")
    call("copy on itself", "PUT", "source", headers={"x-amz-copy-source": source})
    call("copy on itself replace", "PUT", "source", headers={"x-amz-copy-source": source, "x-amz-metadata-directive": "REPLACE"})
    call("copy unknown directive", "PUT", "copy5", headers={"x-amz-copy-source": source, "x-amz-metadata-directive": "KEEP"})
    call("copy missing", "PUT", "copy5", headers={"x-amz-copy-source": f"/{plain}/missing"})
    call("copy version", "PUT", "copy6", headers={"x-amz-copy-source": source + "?versionId=null"})
    call("copy missing version", "PUT", "copy6", headers={"x-amz-copy-source": source + "?versionId=11111111-1111-1111-1111-111111111111"})
    call("copy malformed source", "PUT", "copy5", headers={"x-amz-copy-source": "nothing"})
    call("copy empty source", "PUT", "copy5", headers={"x-amz-copy-source": ""})
    call("copy no key", "PUT", "copy5", headers={"x-amz-copy-source": f"/{plain}/"})
    call("copy with sum", "PUT", "copy7", headers={"x-amz-copy-source": source, "x-amz-checksum-algorithm": "SHA256"})
    call("head copy with sum", "HEAD", "copy7", headers={"x-amz-checksum-mode": "ENABLED"})
    etag = '"' + __import__("hashlib").md5(body).hexdigest() + '"'
    for name, headers in {"match": {"if-match": etag}, "no match": {"if-match": '"x"'}, "none match": {"if-none-match": etag}, "none match other": {"if-none-match": '"x"'},
                          "modified": {"if-modified-since": "Mon, 01 Jan 2001 00:00:00 GMT"}, "unmodified": {"if-unmodified-since": "Mon, 01 Jan 2001 00:00:00 GMT"}}.items():
        call(f"copy if {name}", "PUT", "copy8", headers={"x-amz-copy-source": source, **{f"x-amz-copy-source-{n}": v for n, v in headers.items()}})
    call("copy if none exists", "PUT", "copy", headers={"x-amz-copy-source": source, "if-none-match": "*"})
    call("copy of versioned", "PUT", "copy9", bucket=versioned, headers={"x-amz-copy-source": source})
    # Tags.
    tags = b"<Tagging><TagSet><Tag><Key>a b</Key><Value>\xc3\xbc &amp; 1</Value></Tag><Tag><Key>c</Key><Value></Value></Tag></TagSet></Tagging>"
    call("no tags", "GET", "copy3", "tagging")
    call("put tags", "PUT", "copy3", "tagging", data=tags)
    call("put tags with md5", "PUT", "copy3", "tagging", data=tags, headers={"content-md5": md5(tags)})
    call("put tags with sum", "PUT", "copy3", "tagging", data=tags, headers={"x-amz-checksum-crc32": CHECKSUMS["crc32"](tags), "x-amz-sdk-checksum-algorithm": "CRC32"})
    call("put tags in chunks", "PUT", "copy3", "tagging", data=tags, payload="unsigned-trailer", trailers=[("x-amz-checksum-crc32", CHECKSUMS["crc32"](tags))])
    call("get tags", "GET", "copy3", "tagging")
    call("head tagged", "HEAD", "copy3")
    call("put bad tags", "PUT", "copy3", "tagging", data=b"<Tagging><TagSet>")
    call("put no tags", "PUT", "copy3", "tagging", data=b"")
    call("put many tags", "PUT", "copy3", "tagging", data=b"<Tagging><TagSet>" + b"".join(b"<Tag><Key>%d</Key><Value>v</Value></Tag>" % n for n in range(11)) + b"</TagSet></Tagging>")
    call("put twice tags", "PUT", "copy3", "tagging", data=b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>a</Key><Value>2</Value></Tag></TagSet></Tagging>")
    call("put long tag", "PUT", "copy3", "tagging", data=b"<Tagging><TagSet><Tag><Key>a</Key><Value>" + b"v" * 257 + b"</Value></Tag></TagSet></Tagging>")
    call("delete tags", "DELETE", "copy3", "tagging")
    call("get deleted tags", "GET", "copy3", "tagging")
    call("tags of missing", "GET", "missing", "tagging")
    call("put tags of missing", "PUT", "missing", "tagging", data=tags)
    # Several at once.
    def delete(name, keys, quiet=None, bucket=plain, headers=None, extra=b"", **more):
        listed = b"".join(b"<Object><Key>" + k.encode() + b"</Key>" + (f"<VersionId>{v}</VersionId>".encode() if v else b"") + b"</Object>" for k, v in keys)
        data = b'<?xml version="1.0" encoding="UTF-8"?>\n<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' + listed + (f"<Quiet>{quiet}</Quiet>".encode() if quiet else b"") + extra + b"</Delete>"
        return call(name, "POST", None, "delete", {"content-md5": md5(data)} if headers is None else headers(data), data, bucket, **more)
    for name in ["d1", "d2", "d3", "d4", "d5", "d &amp; d", "d6"]:
        put(name.replace("&amp;", "&"), b"")
    delete("delete two", [("d1", None), ("d2", None)])
    delete("delete quiet", [("d3", None), ("missing", None)], "true")
    delete("delete missing", [("missing", None), ("also missing", None)])
    delete("delete with sum", [("d4", None)], headers=lambda data: {"x-amz-checksum-crc32": CHECKSUMS["crc32"](data), "x-amz-sdk-checksum-algorithm": "CRC32"})
    delete("delete escaped", [("d &amp; d", None)])
    delete("delete in trailer", [("d5", None)], headers=lambda data: {}, payload="unsigned-trailer", trailers=[])
    delete("delete without md5", [("d6", None)], headers=lambda data: {})
    delete("delete wrong md5", [("d6", None)], headers=lambda data: {"content-md5": md5(b"")})
    delete("delete wrong sum", [("d6", None)], headers=lambda data: {"x-amz-checksum-crc32": "AAAAAA=="})
    delete("delete null version", [("d6", "null")])
    delete("delete bad version", [("d6", "x")])
    delete("delete none", [])
    delete("delete twice", [("d6", None), ("d6", None)])
    delete("delete empty key", [("", None)])
    delete("delete 1000", [(f"many/{n}", None) for n in range(1000)], "true")
    delete("delete 1001", [(f"many/{n}", None) for n in range(1001)], "true")
    call("delete malformed", "POST", None, "delete", {"content-md5": md5(b"<Delete>")}, b"<Delete>")
    call("delete nothing", "POST", None, "delete", {"content-md5": md5(b"")}, b"")
    call("delete another document", "POST", None, "delete", {"content-md5": md5(b"<Other></Other>")}, b"<Other></Other>")


def parts():
    large = bytes(range(251)) * (PART // 251 + 1)
    first, last = large[:PART], b"the end"
    call("begin", "POST", "parts", "uploads", {"content-type": "text/x-parts", "x-amz-meta-a": "1", "cache-control": "no-store", "x-amz-tagging": "t=1"}, keep=[("upload", "UploadId")])
    upload = kept["upload"]
    one = lambda number, id=None: f"partNumber={number}&uploadId={id or upload}"
    listed = lambda **more: [("uploadId", upload), *((n.replace("_", "-"), v) for n, v in more.items())]
    call("uploads", "GET", None, "uploads")
    call("uploads of prefix", "GET", None, "uploads&prefix=parts&max-uploads=1&encoding-type=url")
    call("uploads of none", "GET", None, "uploads&prefix=zzz&delimiter=/")
    call("uploads after", "GET", None, "uploads&prefix=parts&key-marker=parts")
    call("parts of none", "GET", "parts", listed())
    call("part 1", "PUT", "parts", one(1), data=first, payload="unsigned")
    call("part 1 again", "PUT", "parts", one(1), data=first, payload="signed-chunks")
    call("part 2 trailer", "PUT", "parts", one(2), data=first, payload="unsigned-trailer", trailers=[("x-amz-checksum-crc32", CHECKSUMS["crc32"](first))])
    call("part 3", "PUT", "parts", one(3), data=last, headers={"content-md5": md5(last)})
    for number in ["0", "-1", "10001", "x", "1.5", "99999999999999999999"]:
        call(f"part number {number}", "PUT", "parts", one(number), data=last)
    call("part empty", "PUT", "parts", one(4), data=b"")
    call("part wrong md5", "PUT", "parts", one(4), data=last, headers={"content-md5": md5(b"")})
    call("part wrong literal", "PUT", "parts", one(4), data=last, payload=sha256(b""))
    call("part of no upload", "PUT", "parts", one(1, "none"), data=last)
    call("part of other key", "PUT", "others", one(1), data=last)
    put("part source", large[: PART + 100])
    source = {"x-amz-copy-source": f"/{plain}/part%20source"}
    call("part copy", "PUT", "parts", one(5), source)
    call("part copy range", "PUT", "parts", one(6), {**source, "x-amz-copy-source-range": f"bytes=0-{PART - 1}"})
    for spec in ["bytes=0-99999999", "bytes=5-1", "bytes=0-", "0-5", "bytes=-5"]:
        call(f"part copy {spec}", "PUT", "parts", one(7), {**source, "x-amz-copy-source-range": spec})
    call("part copy if no match", "PUT", "parts", one(7), {**source, "x-amz-copy-source-if-match": '"x"'})
    call("part copy missing", "PUT", "parts", one(7), {"x-amz-copy-source": f"/{plain}/missing"})
    call("parts", "GET", "parts", listed())
    call("parts page", "GET", "parts", listed(max_parts="2"))
    call("parts next", "GET", "parts", listed(max_parts="2", part_number_marker="2"))
    for value in ["0", "-1", "x", "100000"]:
        call(f"parts max {value}", "GET", "parts", listed(max_parts=value))
    call("parts of no upload", "GET", "parts", "uploadId=none")
    call("parts of other key", "GET", "others", listed())
    def complete(name, numbers, key="parts", id=None, headers=(), raw=None):
        etags = {1: first, 2: first, 3: last, 5: large[: PART + 100], 6: first}
        tag = lambda n: '"' + __import__("hashlib").md5(etags.get(n, b"none")).hexdigest() + '"'
        data = raw if raw is not None else ("<CompleteMultipartUpload>" + "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag(n)}</ETag></Part>" for n in numbers) + "</CompleteMultipartUpload>").encode()
        return call(name, "POST", key, f"uploadId={id or upload}", headers, data)
    complete("complete missing part", [1, 9])
    complete("complete out of order", [2, 1])
    complete("complete too small", [3, 1])
    complete("complete small in the middle", [1, 3, 5])
    complete("complete none", [])
    complete("complete malformed", [], raw=b"<CompleteMultipartUpload>")
    complete("complete empty", [], raw=b"")
    complete("complete other document", [], raw=b"<Other/>")
    complete("complete no upload", [1], id="none")
    complete("complete other key", [1], key="others")
    complete("complete if match", [1], headers={"if-match": '"x"'})
    complete("complete", [1, 2, 3])
    complete("complete again", [1, 2, 3])
    call("head parts", "HEAD", "parts")
    call("get parts", "GET", "parts")
    call("parts tags", "GET", "parts", "tagging")
    for number in [1, 2, 3, 4]:
        call(f"head part {number}", "HEAD", "parts", f"partNumber={number}")
        call(f"get part {number}", "GET", "parts", f"partNumber={number}")
    call("get over parts", "GET", "parts", headers={"range": f"bytes={PART - 5}-{PART + 5}"})
    call("attributes of parts", "GET", "parts", "attributes", {"x-amz-object-attributes": "ETag,ObjectParts,ObjectSize"})
    call("attributes of parts page", "GET", "parts", "attributes", {"x-amz-object-attributes": "ObjectParts", "x-amz-max-parts": "1", "x-amz-part-number-marker": "1"})
    for algorithm, kind in [("CRC32", "FULL_OBJECT"), ("CRC32", "COMPOSITE"), ("SHA256", "COMPOSITE"), ("CRC64NVME", "FULL_OBJECT"), ("SHA1", "FULL_OBJECT"), ("CRC32C", "")]:
        key, name = f"summed {algorithm} {kind}", f"x-amz-checksum-{algorithm.lower()}"
        headers = {"x-amz-checksum-algorithm": algorithm, **({"x-amz-checksum-type": kind} if kind else {})}
        answer = call(f"begin {key}", "POST", key, "uploads", headers, keep=[("summed", "UploadId")])
        if answer[0] != 200:
            continue
        value = CHECKSUMS[algorithm.lower()](last)
        call(f"part {key}", "PUT", key, one(1, kept["summed"]), {name: value}, last)
        call(f"parts {key}", "GET", key, [("uploadId", kept["summed"])])
        element_name = "Checksum" + algorithm
        tag = __import__("hashlib").md5(last).hexdigest()
        wrong = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag><{element_name}>{CHECKSUMS[algorithm.lower()](b'')}</{element_name}></Part></CompleteMultipartUpload>"
        call(f"complete wrong {key}", "POST", key, f"uploadId={kept['summed']}", data=wrong.encode())
        right = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag><{element_name}>{value}</{element_name}></Part></CompleteMultipartUpload>"
        call(f"complete {key}", "POST", key, f"uploadId={kept['summed']}", {"x-amz-mp-object-size": str(len(last))}, right.encode())
        call(f"head {key}", "HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"})
    call("begin unknown algorithm", "POST", "summed", "uploads", {"x-amz-checksum-algorithm": "MD4"})
    call("begin to abort", "POST", "aborted", "uploads", keep=[("aborted", "UploadId")])
    call("abort", "DELETE", "aborted", f"uploadId={kept['aborted']}")
    call("abort again", "DELETE", "aborted", f"uploadId={kept['aborted']}")
    call("abort none", "DELETE", "aborted", "uploadId=none")
    call("begin with body", "POST", "begun", "uploads", data=b"ignored", keep=[("begun", "UploadId")])
    call("begin odd key", "POST", "ü + 😀/a b", "uploads", keep=[("odd", "UploadId")])
    call("part odd key", "PUT", "ü + 😀/a b", one(1, kept["odd"]), data=last)
    tag = __import__("hashlib").md5(last).hexdigest()
    call("complete odd key", "POST", "ü + 😀/a b", f"uploadId={kept['odd']}", data=f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>".encode())


def listings():
    for key in ["list/a", "list/b/1", "list/b/2", "list/c d/1", "list/ü", "list/z", "list/x<&>\"'", "list/+%"]:
        put(key, key.encode())
    for name, base in {"v1": "prefix=list/", "v2": "list-type=2&prefix=list/", "versions": "versions&prefix=list/"}.items():
        call(f"list {name}", "GET", None, base)
        for more in ["max-keys=0", "max-keys=1", "max-keys=2", "max-keys=1000", "max-keys=1001", "max-keys=100000", "max-keys=-1", "max-keys=x", "max-keys=", "max-keys=2147483648", "delimiter=/",
                     "delimiter=", "delimiter=b", "delimiter=%", "delimiter=//", "delimiter= ", "delimiter=ü", "delimiter=/&max-keys=2", "delimiter=list", "encoding-type=url", "encoding-type=URL", "encoding-type=x",
                     "encoding-type=", "delimiter=/&encoding-type=url"]:
            call(f"list {name} {more}", "GET", None, f"{base}&{more}")
    call("list everything", "GET", None, "prefix=&delimiter=/")
    call("list none", "GET", None, "prefix=nothing/")
    call("list prefix slash", "GET", None, "prefix=/")
    call("list prefix odd", "GET", None, [("prefix", "list/x<&>\"'")])
    for marker in ["list/a", "list/b/", "list/zz", "zzz", "", "a b+c", "ü"]:
        call(f"list v1 marker {marker}", "GET", None, [("prefix", "list/"), ("marker", marker)])
        call(f"list v2 start {marker}", "GET", None, [("list-type", "2"), ("prefix", "list/"), ("start-after", marker)])
        call(f"list versions marker {marker}", "GET", None, [("versions", ""), ("prefix", "list/"), ("key-marker", marker)])
    call("list v2 first page", "GET", None, "list-type=2&prefix=list/&max-keys=2", keep=[("token", "NextContinuationToken")])
    call("list v2 second page", "GET", None, [("list-type", "2"), ("prefix", "list/"), ("max-keys", "2"), ("continuation-token", kept["token"])], keep=[("token2", "NextContinuationToken")])
    call("list v2 token and start", "GET", None, [("list-type", "2"), ("prefix", "list/"), ("start-after", "list/z"), ("continuation-token", kept["token"])], keep=[("token3", "NextContinuationToken")])
    for token in ["", "x", "%%%"]:
        call(f"list v2 token {token!r}", "GET", None, [("list-type", "2"), ("prefix", "list/"), ("continuation-token", token)])
    call("list v2 owner", "GET", None, "list-type=2&prefix=list/&fetch-owner=true&max-keys=1")
    call("list v2 no owner", "GET", None, "list-type=2&prefix=list/&fetch-owner=false&max-keys=1")
    call("list v2 metadata", "GET", None, "list-type=2&prefix=list/&metadata=true&max-keys=1")
    call("list type 1", "GET", None, "list-type=1&prefix=list/")
    call("list type 3", "GET", None, "list-type=3&prefix=list/")
    call("list type empty", "GET", None, "list-type=&prefix=list/")
    call("list with slash", "GET", "", "list-type=2&prefix=list/&max-keys=1")
    call("list attributes", "GET", None, "list-type=2&prefix=list/&max-keys=1", {"x-amz-optional-object-attributes": "RestoreStatus"})
    call("list id", "GET", None, "list-type=2&prefix=list/&max-keys=1&x-id=ListObjectsV2")
    call("list versions version marker alone", "GET", None, "versions&prefix=list/&version-id-marker=x")


def versions():
    at = dict(bucket=versioned)
    call("versioned put 1", "PUT", "v", data=b"1", keep=[("version1", "x-amz-version-id")], **at)
    call("versioned put 2", "PUT", "v", data=b"22", keep=[("version2", "x-amz-version-id")], **at)
    first, second = kept["version1"], kept["version2"]
    for method in ["GET", "HEAD"]:
        call(f"versioned {method}", method, "v", **at)
        call(f"versioned {method} 1", method, "v", f"versionId={first}", **at)
        call(f"versioned {method} null", method, "v", "versionId=null", **at)
        call(f"versioned {method} malformed", method, "v", "versionId=x", **at)
        call(f"versioned {method} of other key", method, "w", f"versionId={first}", **at)
    call("versioned tags", "PUT", "v", f"tagging&versionId={first}", data=b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>", **at)
    call("versioned get tags", "GET", "v", f"tagging&versionId={first}", **at)
    call("versioned get other tags", "GET", "v", "tagging", **at)
    call("versioned delete tags", "DELETE", "v", f"tagging&versionId={first}", **at)
    call("versioned attributes", "GET", "v", f"attributes&versionId={first}", {"x-amz-object-attributes": "ETag,ObjectSize"}, **at)
    call("versioned acl", "GET", "v", f"acl&versionId={first}", **at)
    call("versioned copy back", "PUT", "v", headers={"x-amz-copy-source": f"/{versioned}/v?versionId={first}"}, keep=[("version3", "x-amz-version-id")], **at)
    call("versioned part copy", "POST", "w", "uploads", keep=[("vupload", "UploadId")], **at)
    call("versioned part of version", "PUT", "w", f"partNumber=1&uploadId={kept['vupload']}", {"x-amz-copy-source": f"/{versioned}/v?versionId={second}"}, **at)
    call("versioned complete", "POST", "w", f"uploadId={kept['vupload']}", data=b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>b6d767d2f8ed5d21a44b0e5886680cb9</ETag></Part></CompleteMultipartUpload>",
         keep=[("version4", "x-amz-version-id")], **at)
    call("versioned delete", "DELETE", "v", keep=[("marker", "x-amz-version-id")], **at)
    call("versioned get deleted", "GET", "v", **at)
    call("versioned head deleted", "HEAD", "v", **at)
    call("versioned get marker", "GET", "v", f"versionId={kept['marker']}", **at)
    call("versioned head marker", "HEAD", "v", f"versionId={kept['marker']}", **at)
    call("versioned copy deleted", "PUT", "x", headers={"x-amz-copy-source": f"/{versioned}/v"}, **at)
    call("versioned list", "GET", None, "versions", **at)
    call("versioned list of key", "GET", None, f"versions&prefix=v&max-keys=2", keep=[("nextkey", "NextKeyMarker"), ("nextversion", "NextVersionIdMarker")], **at)
    call("versioned list next", "GET", None, [("versions", ""), ("prefix", "v"), ("key-marker", kept["nextkey"]), ("version-id-marker", kept["nextversion"])], **at)
    call("versioned list objects", "GET", None, "list-type=2", **at)
    call("versioned list delimiter", "GET", None, "versions&delimiter=/&encoding-type=url", **at)
    call("versioned delete marker", "DELETE", "v", f"versionId={kept['marker']}", **at)
    call("versioned get again", "GET", "v", **at)
    call("versioned delete 1", "DELETE", "v", f"versionId={first}", **at)
    call("versioned delete 1 again", "DELETE", "v", f"versionId={first}", **at)
    call("versioned delete malformed", "DELETE", "v", "versionId=x", **at)
    data = f"<Delete><Object><Key>v</Key><VersionId>{second}</VersionId></Object><Object><Key>w</Key></Object></Delete>".encode()
    call("versioned delete several", "POST", None, "delete", {"content-md5": md5(data)}, data, keep=[("marker2", "DeleteMarkerVersionId")], **at)
    call("versioned put if none", "PUT", "w", data=b"3", headers={"if-none-match": "*"}, keep=[("version5", "x-amz-version-id")], **at)


def locks():
    at = dict(bucket=locked)
    until = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    call("locked config", "GET", None, "object-lock", **at)
    call("locked put", "PUT", "l", data=b"1", headers={"content-md5": md5(b"1")}, keep=[("locked1", "x-amz-version-id")], **at)
    call("locked put governed", "PUT", "g", data=b"1", headers={"content-md5": md5(b"1"), "x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": until}, keep=[("governed", "x-amz-version-id")], **at)
    call("locked put held", "PUT", "h", data=b"1", headers={"content-md5": md5(b"1"), "x-amz-object-lock-legal-hold": "OFF"}, keep=[("held", "x-amz-version-id")], **at)
    call("locked put unknown mode", "PUT", "u", data=b"1", headers={"content-md5": md5(b"1"), "x-amz-object-lock-mode": "SOMETIMES", "x-amz-object-lock-retain-until-date": until}, **at)
    call("locked put past", "PUT", "u", data=b"1", headers={"content-md5": md5(b"1"), "x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": "2001-01-01T00:00:00Z"}, **at)
    call("locked put without date", "PUT", "u", data=b"1", headers={"content-md5": md5(b"1"), "x-amz-object-lock-mode": "GOVERNANCE"}, **at)
    call("locked put no md5", "PUT", "u", data=b"1", **at, keep=[("unmd5", "x-amz-version-id")])
    call("locked in plain bucket", "PUT", "u", data=b"1", headers={"content-md5": md5(b"1"), "x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": until})
    for key in ["l", "g", "h", "missing"]:
        call(f"locked retention {key}", "GET", key, "retention", **at)
        call(f"locked hold {key}", "GET", key, "legal-hold", **at)
        call(f"locked head {key}", "HEAD", key, **at)
    call("locked retention version", "GET", "g", f"retention&versionId={kept['governed']}", **at)
    call("locked delete version", "DELETE", "g", f"versionId={kept['governed']}", **at)
    call("locked delete", "DELETE", "g", keep=[("lmarker", "x-amz-version-id")], **at)


def buckets():
    call("head bucket", "HEAD")
    call("head bucket slash", "HEAD", "")
    for query in ["location", "versioning", "object-lock", "encryption", "acl", "policy", "policyStatus", "cors", "lifecycle", "tagging", "ownershipControls", "publicAccessBlock", "website", "logging",
                  "notification", "replication", "requestPayment", "accelerate", "analytics", "inventory", "metrics", "intelligent-tiering", "metadataConfiguration"]:
        call(f"bucket {query}", "GET", None, query)
    call("bucket analytics id", "GET", None, "analytics&id=x")
    call("versioned bucket versioning", "GET", None, "versioning", bucket=versioned)
    call("locked bucket versioning", "GET", None, "versioning", bucket=locked)
    call("location with slash", "GET", "", "location")
    call("location with id", "GET", None, "location&x-id=GetBucketLocation")


def links():
    def link(name, method, key, query=(), keep=(), bucket=plain, **more):
        return case("link " + name, wire.link(method, f"/{bucket}/{key}" if key is not None else f"/{bucket}", query, **more), keep)
    put("linked", body, content_type="text/x-linked")
    link("get", "GET", "linked")
    link("get range", "GET", "linked", extra=[("range", "bytes=0-4")])
    link("get as", "GET", "linked", [("response-content-type", "a/b"), ("response-content-disposition", "attachment; filename=\"a b\"")])
    link("get version", "GET", "linked", [("versionId", "null")])
    link("get if none match", "GET", "linked", extra=[("if-none-match", "*")])
    link("head", "HEAD", "linked")
    link("missing", "GET", "missing")
    link("list", "GET", None, [("list-type", "2"), ("prefix", "linked")])
    link("put", "PUT", "by link", body=b"linked")
    link("put type", "PUT", "by link 2", body=b"linked", headers=[("content-type", "text/x-link")])
    link("put free type", "PUT", "by link 3", body=b"linked", extra=[("content-type", "text/x-link")])
    link("put meta", "PUT", "by link 4", body=b"linked", headers=[("x-amz-meta-a", "1")])
    link("put hoisted meta", "PUT", "by link 5", [("x-amz-meta-a", "1")], body=b"linked")
    link("put hoisted acl", "PUT", "by link 6", [("x-amz-acl", "private")], body=b"linked")
    link("put hoisted tags", "PUT", "by link 7", [("x-amz-tagging", "a=1")], body=b"linked")
    link("put hoisted sum", "PUT", "by link 8", [("x-amz-checksum-crc32", CHECKSUMS["crc32"](b"linked"))], body=b"linked")
    link("put empty", "PUT", "by link 9")
    link("put id", "PUT", "by link 10", [("x-id", "PutObject")], body=b"linked")
    link("put if none", "PUT", "by link 10", body=b"linked", headers=[("if-none-match", "*")])
    for n in range(2, 9):
        call(f"head by link {n}", "HEAD", f"by link {n}")
    link("begin", "POST", "link parts", [("uploads", "")], keep=[("linkparts", "UploadId")])
    link("part", "PUT", "link parts", [("partNumber", "1"), ("uploadId", kept["linkparts"])], body=b"part")
    link("abort", "DELETE", "link parts", [("uploadId", kept["linkparts"])])
    link("delete", "DELETE", "by link 9")
    link("tags", "GET", "linked", [("tagging", "")])
    link("odd key", "GET", "a+b c/ü😀'()*!")
    now = datetime.datetime.now(datetime.timezone.utc)
    link("expired", "GET", "linked", when=now - datetime.timedelta(hours=2))
    link("in the future", "GET", "linked", when=now + datetime.timedelta(hours=2))
    for expires in ["0", "-1", "604800", "604801", "x", "", "1.5", "99999999999999999999"]:
        link(f"expires {expires}", "GET", "linked", expires=expires)
    link("tampered key", "GET", "linked", tamper=lambda t: t.replace("linked", "linkee"))
    link("tampered query", "GET", "linked", tamper=lambda t: t + "&versionId=null")
    link("tampered signature", "GET", "linked", tamper=lambda t: t[:-4] + "0000")
    link("no signature", "GET", "linked", tamper=lambda t: t.partition("&X-Amz-Signature")[0])
    link("other method", "GET", "linked", tamper=lambda t: t.replace("X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=AWS4"))
    link("unsigned meta", "PUT", "by link 4", body=b"linked", extra=[("x-amz-meta-b", "1")])


def mistakes():
    """How a request is signed wrongly."""
    put("mistake", b"1")
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    call("early", "GET", "mistake", when=now + hour)
    call("late", "GET", "mistake", when=now - hour)
    call("unsigned header", "GET", "mistake", unsigned=[("x-amz-meta-a", "1")])
    call("unsigned plain header", "GET", "mistake", unsigned=[("x-other", "1"), ("user-agent", "ü")])
    right = wire.secret
    wire.secret = "wrong"
    call("wrong secret", "GET", "mistake")
    call("wrong secret head", "HEAD", "mistake")
    call("wrong secret put", "PUT", "mistake", data=b"2")
    wire.secret = right
    key, wire.key = wire.key, "AKIAUNKNOWN000000000"
    call("unknown key", "GET", "mistake")
    wire.key = key
    for region in ["eu-west-1", "auto", "nowhere"]:
        wire.region = region
        call(f"region {region}", "GET", "mistake")
    wire.region = "us-east-1"
    case("malformed authorization", wire.send("GET", f"/{plain}/mistake", [("host", address), ("authorization", "AWS4-HMAC-SHA256 nonsense"), ("x-amz-date", now.strftime("%Y%m%dT%H%M%SZ"))], b""))
    case("unknown authorization", wire.send("GET", f"/{plain}/mistake", [("host", address), ("authorization", "Basic YTpi")], b""))
    case("signature version 2", wire.send("GET", f"/{plain}/mistake", [("host", address), ("date", now.strftime("%a, %d %b %Y %H:%M:%S GMT")), ("authorization", f"AWS {key}:AAAA")], b""))
    case("anonymous get", wire.send("GET", f"/{plain}/mistake", [("host", address)], b""))
    case("anonymous head", wire.send("HEAD", f"/{plain}/mistake", [("host", address)], b""))
    case("anonymous put", wire.send("PUT", f"/{plain}/mistake", [("host", address), ("content-length", "1")], b"2"))
    case("anonymous list", wire.send("GET", f"/{plain}?list-type=2", [("host", address)], b""))
    case("post form", wire.send("POST", f"/{plain}", [("host", address), ("content-type", "multipart/form-data; boundary=x"), ("content-length", "5")], b"--x--"))


def denied():
    """What no key may do, whatever the provider's credentials may."""
    for query in ["acl", "policy", "cors", "lifecycle", "tagging", "versioning", "encryption", "object-lock", "notification", "replication", "website", "publicAccessBlock"]:
        call(f"put bucket {query}", "PUT", None, query, data=b"<X/>")
    for query in ["policy", "cors", "lifecycle", "tagging", "encryption", "replication", "website"]:
        call(f"delete bucket {query}", "DELETE", None, query)
    call("delete bucket", "DELETE")
    call("create own bucket", "PUT")
    call("create bucket", "PUT", bucket="bascule-made-by-nobody")
    call("put acl", "PUT", "mistake", "acl", {"x-amz-acl": "private"})
    call("put public", "PUT", "public", data=b"", headers={"x-amz-acl": "public-read"})
    call("put granted", "PUT", "public", data=b"", headers={"x-amz-grant-read": "id=1"})
    call("put retention", "PUT", "l", "retention", data=b"<Retention/>", bucket=locked)
    call("put hold", "PUT", "l", "legal-hold", data=b"<LegalHold><Status>ON</Status></LegalHold>", bucket=locked)
    call("delete bypassing", "DELETE", "l", "versionId=null", {"x-amz-bypass-governance-retention": "true"}, bucket=locked)
    call("foreign get", "GET", "a", bucket=foreign)
    call("foreign list", "GET", None, "list-type=2", bucket=foreign)
    call("foreign head", "HEAD", bucket=foreign)
    call("foreign put", "PUT", "a", data=b"", bucket=foreign)
    call("foreign copy", "PUT", "copied from there", headers={"x-amz-copy-source": f"/{foreign}/a"})
    call("missing bucket", "GET", None, "list-type=2", bucket="bascule-missing")
    call("malformed bucket", "GET", None, "list-type=2", bucket="A")
    call("assume role", "POST", data=b"Action=AssumeRole&Version=2011-06-15", bucket="")
    call("unknown query", "GET", "mistake", "surprise=1")
    call("two subresources", "GET", "mistake", "acl&tagging")
    call("extract", "PUT", "a.tar", data=b"", headers={"x-amz-meta-snowball-auto-extract": "true"})
    call("append", "PUT", "mistake", data=b"2", headers={"x-amz-write-offset-bytes": "1"})
    call("rename", "PUT", "renamed", "renameObject", {"x-amz-rename-source": f"/{plain}/mistake"})


for chapter in [bodies, reads, names, writes, parts, listings, versions, locks, buckets, links, mistakes, denied]:
    chapter()
for told in story.told:
    print(json.dumps(told))
