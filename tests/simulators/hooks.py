# SPDX-License-Identifier: Apache-2.0
"""Webhooks: what simulators post to their jobs' addresses when these end, signed as their vendors do."""
import base64
import functools
import hashlib
import hmac
import itertools
import json
import secrets
import ssl
import threading
import time
import urllib.request

ATTEMPTS, TIMEOUT = 3, 5
AUDIENCE = "videogate"  # of Google's tokens
_turns = itertools.count()


def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@functools.lru_cache(2)
def rsa_pair(number):
    """One of two that are made when first asked for: they are dear."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65537, 2048)


class Keys:
    """What a vendor signs with: a secret, and a pair of keys of each kind with its JWKS. Rotated by `rotate`."""

    def __init__(self):
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        self.kid, self._pairs = "", {}
        self.rotate()

    def rotate(self):
        self.kid, self._pairs = secrets.token_hex(8), {}

    def pair(self, kind):
        from cryptography.hazmat.primitives.asymmetric import ed25519  # what is not signed needs no such package

        if kind not in self._pairs:
            self._pairs[kind] = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else rsa_pair(next(_turns) % 2)
        return self._pairs[kind]

    def jwk(self, kind):
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public = self.pair(kind).public_key()
        if kind == "ed25519":
            return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.kid, "x": b64url(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}
        numbers = public.public_numbers()
        return {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid,
                **{name: b64url(n.to_bytes((n.bit_length() + 7) // 8, "big")) for name, n in (("n", numbers.n), ("e", numbers.e))}}


def standard(keys, job_id, body, at=None):
    """Standard Webhooks."""
    at, name = int(time.time() if at is None else at), "msg_" + secrets.token_hex(8)
    key = base64.b64decode(keys.secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
    return {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": "v1," + base64.b64encode(mac).decode()}


def ed25519(keys, job_id, body, at=None):
    """fal's."""
    at = str(int(time.time() if at is None else at))
    text = "\n".join((job_id, "user-1", at, hashlib.sha256(body).hexdigest())).encode()
    return {"x-fal-webhook-request-id": job_id, "x-fal-webhook-user-id": "user-1", "x-fal-webhook-timestamp": at,
            "x-fal-webhook-signature": keys.pair("ed25519").sign(text).hex()}


def task_hmac(keys, job_id, body, at=None):
    """Kie's: over the job alone."""
    at = str(int(time.time() if at is None else at))
    mac = hmac.new(keys.secret.encode(), f"{job_id}.{at}".encode(), hashlib.sha256).digest()
    return {"x-webhook-timestamp": at, "x-webhook-signature": base64.b64encode(mac).decode()}


def jws(keys, job_id, body, at=None, head=None, **claims):
    """Google's, at addresses of single requests: a JWT."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    at = int(time.time() if at is None else at)
    head = {"alg": "RS256", "typ": "JWT", "kid": keys.kid, **(head or {})}
    claims = {"iss": "https://generativelanguage.googleapis.com", "aud": AUDIENCE, "iat": at, "exp": at + 3600, **claims}
    text = ".".join(b64url(json.dumps(part).encode()) for part in (head, claims))
    signature = keys.pair("jws").sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return {"webhook-id": "msg_" + secrets.token_hex(8), "webhook-timestamp": str(at), "webhook-signature": f"{text}.{b64url(signature)}"}


class Teller:
    """Ends the jobs that have an address for webhooks `after` seconds, and posts what their vendors post. One thread."""

    def __init__(self, simulators, after=1.0, events_url="", ca=None):
        self.simulators, self.after, self.events_url = simulators, after, events_url.rstrip("/")
        self._context = ssl.create_default_context(cafile=ca) if ca else None
        for sim in simulators:
            sim.hook_context = self._context
        self._ends, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()

    def stop(self):
        self._ends.set()
        self._thread.join()

    def _run(self):
        while not self._ends.wait(0.05):
            for sim in self.simulators:
                with sim.lock:
                    due = [job for job in sim.history if job.told is None and sim.clock.now() >= job.created + self.after and self._url(sim, job)]
                    for job in due:
                        job.over, job.told = True, 0
                for job in due:
                    threading.Thread(target=self._tell, args=(sim, job), daemon=True).start()

    def _url(self, sim, job):
        if sim.hook_of_project:
            return f"{self.events_url}/v1/provider-events/{sim.name}" if self.events_url else None
        return sim.hook(job)

    def _tell(self, sim, job):
        for attempt in range(ATTEMPTS):
            with sim.lock:
                url, (body, headers) = self._url(sim, job), sim.told(job)
            asked = urllib.request.Request(url, body, {"content-type": "application/json", **headers})
            try:
                with urllib.request.urlopen(asked, timeout=TIMEOUT, context=self._context if url.startswith("https") else None) as answer:
                    job.told = answer.status
                    return
            except OSError as error:
                job.told = getattr(error, "code", 0)
            if self._ends.wait(0.5 * 2 ** attempt):
                return
