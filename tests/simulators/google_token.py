# SPDX-License-Identifier: Apache-2.0
"""Google's token endpoint for service accounts: assertions are checked to the last claim, tokens are short-lived and can be revoked."""
import base64
import functools
import hashlib
import json
import pathlib
import secrets
import shutil
import subprocess
import tempfile
import time
import urllib.parse

from simulators.base import Refusal, Reply, route

AUDIENCE = "https://oauth2.googleapis.com/token"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# DER of DigestInfo for SHA-256 (RFC 8017 9.2)
SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
CHECKS = ("token.content_type", "token.grant_type", "token.form", "token.header", "token.kid", "token.signature", "token.issuer", "token.audience",
          "token.scope", "token.lifetime", "token.future", "token.past", "bearer.unknown", "bearer.expired")
SHORT_LIVED = ("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the "
               "JWT claim.")


@functools.lru_cache(4)
def rsa_key(number):
    """(private key in PEM, modulus); one of a few that are made when first asked for."""
    pem = subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], capture_output=True, text=True, check=True).stdout
    told = subprocess.run(["openssl", "rsa", "-noout", "-modulus"], input=pem, capture_output=True, text=True, check=True).stdout
    return pem, int(told.strip().partition("=")[2], 16)


def is_signed(modulus, text, signature):
    """RSASSA-PKCS1-v1_5 with SHA-256 and e = 65537 (RFC 8017 8.2.2)."""
    size = (modulus.bit_length() + 7) // 8
    wanted = SHA256_PREFIX + hashlib.sha256(text).digest()
    wanted = b"\0\1" + b"\xff" * (size - len(wanted) - 3) + b"\0" + wanted
    return len(signature) == size and pow(int.from_bytes(signature, "big"), 65537, modulus).to_bytes(size, "big") == wanted


def from_base64url(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


class Account:
    """A service account and its key file."""

    def __init__(self, number, folder, project):
        self.email = f"worker-{number}@{project}.iam.gserviceaccount.com"
        self.key_id = hashlib.sha1(self.email.encode()).hexdigest()
        self.pem, self.modulus = rsa_key(number)
        self.path = str(folder / f"account-{number}.json")
        self.text = json.dumps({"type": "service_account", "project_id": project, "private_key_id": self.key_id, "private_key": self.pem,
                                "client_email": self.email, "client_id": "1", "auth_uri": "https://accounts.google.com/o/oauth2/auth",
                                "token_uri": AUDIENCE})
        pathlib.Path(self.path).write_text(self.text, encoding="utf-8")


class Tokens:
    """Mixed into a simulator whose keys are service accounts."""

    token_life = 3599   # seconds of the simulator's clock
    told_life = None    # what expires_in says; None: the truth
    account_count = 2

    def _make_accounts(self):
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="vg-accounts-"))
        self.accounts = [Account(number, self._folder, self.project) for number in range(self.account_count)]
        self.tokens = {}  # token: (path of the account, when it ends)

    def _drop_accounts(self):
        shutil.rmtree(self._folder, ignore_errors=True)

    def revoke_tokens(self):
        """Every token so far is refused from now on."""
        self.tokens.clear()

    def token_error(self, code, text, status=400):
        return Reply(status, {"error": code, "error_description": text})

    def _refuse_token(self, rule, code, text):
        self.broken[rule] += 1
        raise Refusal(self.token_error(code, text))

    @route("POST", "/token", "token", auth=False)
    def token(self, request):
        if request.header("content-type") != "application/x-www-form-urlencoded":
            self._refuse_token("token.content_type", "invalid_request", "Bad content type.")
        form = urllib.parse.parse_qs(request.body.decode("ascii"), strict_parsing=True)
        if set(form) != {"grant_type", "assertion"} or any(len(values) > 1 for values in form.values()):
            self._refuse_token("token.form", "invalid_request", "Bad form.")
        if form["grant_type"] != [GRANT]:
            self._refuse_token("token.grant_type", "unsupported_grant_type", "Invalid grant_type: " + form["grant_type"][0])
        account = self._judge(form["assertion"][0])
        if account.path in self.revoked:
            self._refuse_token("auth.wrong", "invalid_grant", "Invalid grant: account not found")
        token = "ya29." + secrets.token_urlsafe(40)
        self.tokens[token] = (account.path, self.clock.now() + self.token_life)
        return Reply(200, {"access_token": token, "expires_in": self.told_life or self.token_life, "token_type": "Bearer"})

    def _judge(self, assertion):
        """The account that signed a good assertion."""
        pieces = assertion.split(".")
        try:
            head, claims = (json.loads(from_base64url(piece)) for piece in pieces[:2])
            signature = from_base64url(pieces[2])
        except (ValueError, IndexError):
            self._refuse_token("token.header", "invalid_grant", "Bad Request")
        if head.get("alg") != "RS256" or head.get("typ") != "JWT" or "=" in assertion or len(pieces) != 3:
            self._refuse_token("token.header", "invalid_grant", "Bad Request")
        account = next((one for one in self.accounts if one.key_id == head.get("kid")), None)
        if account is None:
            self._refuse_token("token.kid", "invalid_grant", "Invalid JWT Signature.")
        if not is_signed(account.modulus, assertion.rpartition(".")[0].encode(), signature):
            self._refuse_token("token.signature", "invalid_grant", "Invalid JWT Signature.")
        self._judge_claims(account, claims)
        return account

    def _judge_claims(self, account, claims):
        now = time.time()
        issued, ends = claims.get("iat"), claims.get("exp")
        if claims.get("iss") != account.email or claims.get("sub") not in (None, account.email):
            self._refuse_token("token.issuer", "invalid_grant", "Invalid issuer.")
        if claims.get("aud") != AUDIENCE:
            self._refuse_token("token.audience", "invalid_grant", "Invalid JWT: Failed audience check.")
        if SCOPE not in str(claims.get("scope", "")).split():
            self._refuse_token("token.scope", "invalid_scope", "Empty or missing scope not allowed.")
        if not isinstance(issued, int) or not isinstance(ends, int) or not 0 < ends - issued <= 3600:
            self._refuse_token("token.lifetime", "invalid_grant", SHORT_LIVED)
        if issued > now + 1:
            self._refuse_token("token.future", "invalid_grant", SHORT_LIVED)
        if ends < now or issued < now - 600:
            self._refuse_token("token.past", "invalid_grant", SHORT_LIVED)

    def account_of_bearer(self, request):
        """The key (path of an account) that a token stands for; 401 otherwise."""
        token = self.bearer(request)
        path, ends = self.tokens.get(token, (None, 0))
        rule = "auth.missing" if token is None else "bearer.unknown" if path is None else "bearer.expired" if ends <= self.clock.now() else None
        if rule:
            self.broken[rule] += 1
            self.refuse(401, "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
                        "authentication credential." if token else "", code="ACCESS_TOKEN_EXPIRED" if rule == "bearer.expired" else None)
        return path
