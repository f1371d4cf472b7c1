# SPDX-License-Identifier: Apache-2.0
"""Standard Webhooks, the receiver's half."""
import base64
import hashlib
import hmac
import time

TOLERANCE = 300  # seconds


def key_of(secret):
    return base64.b64decode(secret[len("whsec_"):]) if secret.startswith("whsec_") else secret.encode()


def sign(secret, webhook_id, timestamp, body):
    return "v1," + base64.b64encode(hmac.new(key_of(secret), f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()).decode()


def verify(secret, headers, body, now=None):
    """Whether one of the signatures holds and the time is near."""
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isdigit() or abs((now or time.time()) - int(stamp)) > TOLERANCE:
        return False
    want = sign(secret, headers.get("webhook-id", ""), stamp, body)
    return any(hmac.compare_digest(want, one) for one in headers.get("webhook-signature", "").split(" "))
