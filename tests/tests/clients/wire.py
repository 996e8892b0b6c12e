"""An S3 client that puts on the wire exactly what it is told, and tells everything that came back."""

import datetime, hashlib, hmac, http.client, os, re, urllib.parse, zlib
from base64 import b64encode

EMPTY = hashlib.sha256(b"").hexdigest()
RESERVED_OUT = "-_.~"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def md5(data):
    return b64encode(hashlib.md5(data).digest()).decode()


def _table(polynomial, bits):
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ polynomial if byte & 1 else byte >> 1
        table.append(byte)
    return table


def _crc(polynomial, bits, data, table={}):
    table = table.setdefault(polynomial, _table(polynomial, bits))
    ones = value = (1 << bits) - 1
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return b64encode((value ^ ones).to_bytes(bits // 8, "big")).decode()


CHECKSUMS = {
    "crc32": lambda data: b64encode(zlib.crc32(data).to_bytes(4, "big")).decode(),
    "crc32c": lambda data: _crc(0x82F63B78, 32, data),
    "crc64nvme": lambda data: _crc(0x9A6C9329AC4BC9B5, 64, data),
    "sha1": lambda data: b64encode(hashlib.sha1(data).digest()).decode(),
    "sha256": lambda data: b64encode(hashlib.sha256(data).digest()).decode(),
}


def quote(text, safe="/"):
    data = text.encode() if isinstance(text, str) else text
    return urllib.parse.quote(data, safe=RESERVED_OUT + safe)


def query_string(query):
    pairs = sorted((quote(name, ""), quote(value, "")) for name, value in query)
    return "&".join(f"{name}={value}" for name, value in pairs)


def header_bytes(value):
    return value if isinstance(value, bytes) else value.encode()


class Wire:
    def __init__(self, address, key, secret, region="us-east-1"):
        self.address, self.key, self.secret, self.region = address, key, secret, region
        self.connection = None

    def send(self, method, target, headers, body):
        """One request as it is; once more when the connection was closed before the answer began."""
        for attempt in range(2):
            fresh = self.connection is None
            if fresh:
                self.connection = http.client.HTTPConnection(self.address, timeout=60)
            try:
                connection = self.connection
                connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
                for name, value in headers:
                    connection.putheader(name, header_bytes(value))
                connection.endheaders()
                if body:
                    try:
                        connection.send(body)
                    except (BrokenPipeError, ConnectionResetError):
                        pass  # The answer came before the end of the body.
                answer = connection.getresponse()
                data = answer.read()
                if answer.will_close:
                    self.close()
                return answer.status, [(n.lower(), v) for n, v in answer.getheaders()], data
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.close()
                if fresh:
                    raise

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def _signature(self, scope, when, canonical):
        text = "\n".join(["AWS4-HMAC-SHA256", when, scope, sha256(canonical)])
        return self._sign(scope, text)

    def _sign(self, scope, text):
        key = b"AWS4" + self.secret.encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def call(self, method, path, query=(), headers=(), body=b"", payload="literal", trailers=(), chunk=64 << 10,
             target=None, when=None, unsigned=(), damage=None, **more):
        """A request signed by its headers. `path` and `query` are decoded. `unsigned` headers are left out of the
        signature. `damage` changes the body after it was signed."""
        now = when or datetime.datetime.now(datetime.timezone.utc)
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        canonical_path, canonical_query = quote(path), query_string(query)
        signed = [("host", self.address), *headers, ("x-amz-date", stamp)]
        decoded = body
        if payload == "literal":
            value = sha256(body)
        elif payload == "unsigned":
            value = "UNSIGNED-PAYLOAD"
        elif payload == "signed-chunks":
            value = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailers else "")
        elif payload == "unsigned-trailer":
            value = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        else:
            value = payload
        signed.append(("x-amz-content-sha256", value))
        if value.startswith("STREAMING"):
            signed.append(("x-amz-decoded-content-length", str(more.get("decoded", len(decoded)))))
            if not any(name.lower() == "content-encoding" for name, _ in headers):
                signed.append(("content-encoding", "aws-chunked"))
            if trailers and not more.get("unannounced"):
                signed.append(("x-amz-trailer", ",".join(name for name, _ in trailers)))
        names = sorted({name.lower() for name, _ in signed})
        lines = b"".join(
            name.encode() + b":" + b",".join(b" ".join(header_bytes(v).split()) for n, v in signed if n.lower() == name) + b"\n"
            for name in names
        )
        canonical = b"\n".join([method.encode(), canonical_path.encode(), canonical_query.encode(), lines,
                                ";".join(names).encode(), value.encode()])
        signature = self._signature(scope, stamp, canonical)
        if value.startswith("STREAMING"):
            body = self._framed(scope, stamp, signature, decoded, trailers, chunk, "AWS4" in value)
        if damage:
            body = damage(body)
        sent = [*signed, *unsigned,
                ("authorization", f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}")]
        if more.get("length", True) and (body or method in ("PUT", "POST")):
            sent.append(("content-length", str(len(body))))
        if target is None:
            target = canonical_path + ("?" + canonical_query if canonical_query else "")
        return self.send(method, target, sent, body)

    def _framed(self, scope, stamp, previous, data, trailers, size, sign):
        framed = b""
        for at in [*range(0, len(data), size), len(data)]:
            piece = data[at:at + size]
            framed += b"%x" % len(piece)
            if sign:
                text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", stamp, scope, previous, EMPTY, sha256(piece)])
                previous = self._sign(scope, text)
                framed += b";chunk-signature=" + previous.encode()
            framed += b"\r\n"
            if piece:
                framed += piece + b"\r\n"
        block = "".join(f"{name}:{value}\n" for name, value in trailers)
        framed += "".join(f"{name}:{value}\r\n" for name, value in trailers).encode()
        if trailers and sign:
            text = "\n".join(["AWS4-HMAC-SHA256-TRAILER", stamp, scope, previous, sha256(block.encode())])
            framed += b"x-amz-trailer-signature:" + self._sign(scope, text).encode() + b"\r\n"
        return framed + b"\r\n"

    def link(self, method, path, query=(), headers=(), body=b"", expires="60", when=None, tamper=None, extra=()):
        """A request signed in its query. Of `headers` all are signed; `extra` ones are not."""
        now = when or datetime.datetime.now(datetime.timezone.utc)
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        signed = [("host", self.address), *headers]
        names = sorted({name.lower() for name, _ in signed})
        pairs = [*query, ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), ("X-Amz-Credential", f"{self.key}/{scope}"),
                 ("X-Amz-Date", stamp), ("X-Amz-Expires", expires), ("X-Amz-SignedHeaders", ";".join(names))]
        lines = "".join(f"{name}:{','.join(v.strip() for n, v in signed if n.lower() == name)}\n" for name in names)
        canonical = "\n".join([method, quote(path), query_string(pairs), lines, ";".join(names), "UNSIGNED-PAYLOAD"])
        signature = self._signature(scope, stamp, canonical.encode())
        target = f"{quote(path)}?{query_string(pairs)}&X-Amz-Signature={signature}"
        if tamper:
            target = tamper(target)
        length = [("content-length", str(len(body)))] if body or method in ("PUT", "POST") else []
        return self.send(method, target, [*signed, *extra, *length], body)


TIMES = [
    re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"),
    re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"),
]
# Made by each server for each answer, or about the connection or the host and not about the answer.
LEFT_OUT = {"date", "x-amz-request-id", "x-amz-id-2", "connection", "keep-alive", "transfer-encoding",
            "strict-transport-security", "x-ratelimit-limit", "x-ratelimit-remaining"}


class Story:
    """Runs named cases and keeps what came back, without what no two answers share."""

    def __init__(self, wire, names):
        self.wire, self.names, self.told, self.kept = wire, dict(names), [], {}
        self.names[wire.address] = "ADDRESS"
        self.names[wire.key] = "KEY"

    def keep(self, name, value):
        """Remembers a value of this side, such as an upload id; it is masked from now on."""
        value = value or f"no {name}"
        self.kept[name] = value
        self.names[value] = name.upper()
        self.names[quote(value, "")] = name.upper()

    def masked(self, text):
        for value in sorted(self.names, key=len, reverse=True):
            text = text.replace(value, self.names[value])
        for pattern in TIMES:
            text = pattern.sub("TIME", text)
        text = re.sub(r"<(RequestId|HostId)>[^<]*</", r"<\1>…</", text)
        # Ids that no case has asked to keep.
        return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", text)

    def case(self, name, answer, keep=()):
        status, headers, data = answer
        for what, where in keep:
            self.keep(what, element(data, where) or dict(headers).get(where))
        kind = dict(headers).get("content-type", "")
        if "xml" in kind or data[:1] == b"<":
            body = self.masked(data.decode())
        elif len(data) < 400:
            body = self.masked(data.decode("latin-1"))
        else:
            body = f"{len(data)} bytes, {hashlib.md5(data).hexdigest()}"
        told = sorted(f"{n}: {self.masked(v)}" for n, v in headers if n not in LEFT_OUT)
        if body != data.decode("latin-1") or "xml" in kind:
            # The masks change lengths.
            told = [line for line in told if not line.startswith("content-length")]
        self.told.append({"name": name, "status": status, "code": element(data, "Code"), "headers": told, "body": body})
        return answer


def element(data, name):
    found = re.search(f"<{name}>([^<]*)</{name}>".encode(), data)
    return found and found[1].decode().replace("&#34;", '"').replace("&quot;", '"').replace("&amp;", "&")
