# SPDX-License-Identifier: Apache-2.0
"""A strict verifier of Standard Webhooks 1.0.0, both kinds of signature. Knows nothing of Videogate."""
import base64
import binascii
import hashlib
import hmac
import re
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE = 300  # seconds
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


class Refused(Exception):
    pass


def verify(key, headers, body, now=None):
    """`key`: whsec_..., whpk_..., or raw text. Returns the webhook-id; raises Refused."""
    missing = [name for name in HEADERS if not headers.get(name)]
    if missing:
        raise Refused(f"no {missing[0]}")
    name, stamp, signatures = (headers[one] for one in HEADERS)
    if not re.fullmatch(r"[\x21-\x2d\x2f-\x7e]{1,255}", name):
        raise Refused("webhook-id: a dot, a space or no text")
    if not re.fullmatch(r"[1-9][0-9]{0,15}", stamp):
        raise Refused("webhook-timestamp: no integer")
    if abs((time.time() if now is None else now) - int(stamp)) > TOLERANCE:
        raise Refused("webhook-timestamp: too far away")
    signed = f"{name}.{stamp}.".encode() + (body.encode() if isinstance(body, str) else body)
    if not any(_holds(key, one, signed) for one in _split(signatures)):
        raise Refused("webhook-signature: none holds")
    return name


def _split(text):
    """[(kind, bytes)]; every part must be a signature that is written as it should."""
    found = []
    for one in text.split(" "):
        match = re.fullmatch(r"(v1|v1a),([A-Za-z0-9+/]+={0,2})", one)
        if not match:
            raise Refused(f"webhook-signature: {one[:20]!r} is none")
        try:
            value = base64.b64decode(match[2], validate=True)
        except binascii.Error as error:
            raise Refused(f"webhook-signature: {error}") from error
        if len(value) != {"v1": 32, "v1a": 64}[match[1]]:
            raise Refused("webhook-signature: its length is wrong")
        found.append((match[1], value))
    return found


def _holds(key, signature, signed):
    kind, value = signature
    if key.startswith("whpk_"):
        if kind != "v1a":
            return False
        try:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(key[5:], validate=True)).verify(value, signed)
            return True
        except InvalidSignature:
            return False
    raw = base64.b64decode(key[6:], validate=True) if key.startswith("whsec_") else key.encode()
    return kind == "v1" and hmac.compare_digest(hmac.new(raw, signed, hashlib.sha256).digest(), value)
