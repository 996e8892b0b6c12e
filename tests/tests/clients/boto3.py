import hashlib, json, os, re, sys, urllib.error, urllib.request
import boto3, botocore
from botocore.config import Config
from boto3.s3.transfer import TransferConfig

bucket = sys.argv[1]
S3 = {"addressing_style": "path"}


def client(**config):
    s3 = {**S3, **config.pop("s3", {})}
    return boto3.client("s3", config=Config(s3=s3, retries={"max_attempts": 1}, **config))


def told(answer):
    """An answer without what no two answers share."""
    if isinstance(answer, dict):
        skip = ("ResponseMetadata", "LastModified", "UploadId", "Location", "Bucket", "Owner", "Initiator", "Initiated")
        return {k: told(v) for k, v in sorted(answer.items()) if k not in skip}
    if isinstance(answer, list):
        return [told(one) for one in answer]
    if hasattr(answer, "read"):
        bytes = answer.read()
        return bytes if len(bytes) < 100 else hashlib.md5(bytes).hexdigest()
    return answer


def shows(name, call, *args, **kwargs):
    try:
        print(name, told(call(*args, **kwargs)))
    except botocore.exceptions.ClientError as error:
        error = error.response
        print(name, error["ResponseMetadata"]["HTTPStatusCode"], error.get("Error", {}).get("Code"))


literal = client(request_checksum_calculation="when_required")
checked = client(request_checksum_calculation="when_supported")
unsigned = client(s3={"payload_signing_enabled": False}, request_checksum_calculation="when_required")
body = bytes(range(256)) * 40

for name, s3 in [("literal", literal), ("checked", checked), ("unsigned", unsigned)]:
    # A body of no less than a MiB makes botocore wait for `100 Continue`, others too.
    for size in [0, 1, 10_000, 3 << 20]:
        shows(f"put {name} {size}", s3.put_object, Bucket=bucket, Key=f"{name}/{size}", Body=b"x" * size)
        shows(f"get {name} {size}", lambda **k: hashlib.md5(s3.get_object(**k)["Body"].read()).hexdigest(),
              Bucket=bucket, Key=f"{name}/{size}")

for algorithm in ["CRC32", "SHA1", "SHA256"]:
    key = f"sums/{algorithm}"
    shows(f"put {algorithm}", checked.put_object, Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm=algorithm)
    shows(f"head {algorithm}", checked.head_object, Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    shows(f"get {algorithm}", checked.get_object, Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    shows(f"attributes {algorithm}", checked.get_object_attributes, Bucket=bucket, Key=key,
          ObjectAttributes=["Checksum", "ObjectSize", "StorageClass", "ETag"])

for key in ["a b", "a+b", "a%2Fb", "@()*'!=", "😀/日本語", "a//b", "trailing/", "~-._", "&?#", "x" * 200 + "/" + "y" * 200,
            "quote\"and<xml>&amp;", "tab\there", " leading and trailing ", "%", "%zz", "back\\slash", "a=b&c=d;e:f,g$h"]:
    shows(f"put {key!r}", literal.put_object, Bucket=bucket, Key="keys/" + key, Body=key.encode(),
          Metadata={"key": urllib.request.quote(key)}, ContentType="text/x-key")
    shows(f"get {key!r}", literal.get_object, Bucket=bucket, Key="keys/" + key)
    shows(f"copy {key!r}", literal.copy_object, Bucket=bucket, Key="copies/" + key,
          CopySource={"Bucket": bucket, "Key": "keys/" + key})
    shows(f"list {key!r}", literal.list_objects_v2, Bucket=bucket, Prefix="keys/" + key, Delimiter="/")
    shows(f"listed {key!r}", literal.list_objects, Bucket=bucket, Prefix="copies/" + key)

# Conditions.
put = literal.put_object(Bucket=bucket, Key="condition", Body=body)
past, etag = "Mon, 01 Jan 2001 00:00:00 GMT", put["ETag"]
for name, more in [
    ("match", {"IfMatch": etag}), ("no match", {"IfMatch": '"other"'}),
    ("none match", {"IfNoneMatch": etag}), ("other none match", {"IfNoneMatch": '"other"'}),
    ("modified", {"IfModifiedSince": past}), ("unmodified", {"IfUnmodifiedSince": past}),
    ("range", {"Range": "bytes=3-9"}), ("tail", {"Range": "bytes=-5"}), ("from", {"Range": "bytes=10000-"}),
    ("outside", {"Range": "bytes=20000-"}), ("part", {"PartNumber": 1}),
    ("overrides", {"ResponseContentType": "a/b", "ResponseContentDisposition": "attachment; filename=\"ü.txt\""}),
]:
    shows(f"get if {name}", literal.get_object, Bucket=bucket, Key="condition", **more)
    if "Response" not in str(more):
        shows(f"head if {name}", literal.head_object, Bucket=bucket, Key="condition", **more)
shows("put if none", literal.put_object, Bucket=bucket, Key="condition", Body=b"", IfNoneMatch="*")
shows("put if match", literal.put_object, Bucket=bucket, Key="condition", Body=b"2", IfMatch=etag)
shows("put if not match", literal.put_object, Bucket=bucket, Key="condition", Body=b"3", IfMatch=etag)
shows("head missing", literal.head_object, Bucket=bucket, Key="missing")
shows("get missing", literal.get_object, Bucket=bucket, Key="missing")
shows("head bucket", lambda **k: literal.head_bucket(**k)["ResponseMetadata"]["HTTPStatusCode"], Bucket=bucket)

# A large file in parts, back in ranges, and copied in parts.
large = os.urandom(1 << 10) * (12 << 10)
digest = hashlib.md5(large).hexdigest()
open("large", "wb").write(large)
config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
for name, s3 in [("literal", literal), ("unsigned", unsigned)]:
    s3.upload_file("large", bucket, f"volatile/{name}", Config=config, ExtraArgs={"Metadata": {"a": "1"}})
    s3.copy({"Bucket": bucket, "Key": f"volatile/{name}"}, bucket, "volatile/copy", Config=config)
    s3.download_file(bucket, "volatile/copy", "back", Config=config)
    print(name, "came back:", hashlib.md5(open("back", "rb").read()).hexdigest() == digest)
for page in literal.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="volatile/", PaginationConfig={"PageSize": 1}):
    print([(one["Key"], one["Size"]) for one in page.get("Contents", [])], page["IsTruncated"])
shows("delete", literal.delete_objects, Bucket=bucket, Delete={"Objects": [
    {"Key": key} for key in ["volatile/literal", "volatile/unsigned", "volatile/copy", "missing", "keys/😀/日本語", "keys/a b"]]})
shows("tags", literal.put_object_tagging, Bucket=bucket, Key="condition", Tagging={"TagSet": [{"Key": "a b", "Value": "ü"}]})
shows("tagged", literal.get_object_tagging, Bucket=bucket, Key="condition")

# Links.
def follow(name, url, method="GET", data=None, headers={}):
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            print(name, answer.status, answer.headers.get("Content-Type"), answer.headers.get("ETag"), answer.read())
    except urllib.error.HTTPError as error:
        print(name, error.code, re.findall("<Code>(.*?)</Code>", error.read().decode()))


def link(what, **params):
    expires = params.pop("ExpiresIn", 60)
    return literal.generate_presigned_url(what, Params={"Bucket": bucket, **params}, ExpiresIn=expires)


follow("link put", link("put_object", Key="link + 1"), "PUT", b"by link")
follow("link put type", link("put_object", Key="link 2", ContentType="text/x-link"), "PUT", b"by link", {"Content-Type": "text/x-link"})
follow("link put other type", link("put_object", Key="link 3", ContentType="text/x-link"), "PUT", b"by link", {"Content-Type": "text/plain"})
follow("link put meta", link("put_object", Key="link 4", Metadata={"a": "1"}), "PUT", b"by link", {"x-amz-meta-a": "1"})
follow("link get", link("get_object", Key="link + 1"))
follow("link get range", link("get_object", Key="link + 1"), headers={"Range": "bytes=3-"})
follow("link get as", link("get_object", Key="link 2", ResponseContentType="text/x-other"))
follow("link head", link("head_object", Key="link 2"), "HEAD")
follow("link missing", link("get_object", Key="missing"))
follow("link list", link("list_objects_v2", Prefix="nothing/")[:0] or link("head_bucket"), "HEAD")
follow("link tampered", link("get_object", Key="link 2").replace("link%202", "link%204"))
follow("link delete", link("delete_object", Key="link 4"), "DELETE")
