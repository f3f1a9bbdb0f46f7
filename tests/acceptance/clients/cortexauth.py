"""An imitation of the command line and the daemon of CortexAuth, as hosts have them that are
not moved yet, by its documented formats; it is none of its code. It knows nothing of the
server that it asks: words, fields, files and what it gives up on are those of CortexAuth 0.1.
The daemon shows no `Authorization` to discover, keeps tokens of
projects in a file until a minute before they end, and signs a path as it is, though it sends
it escaped.

cortexauth.py SERVER FOLDER AGENT    FOLDER is what ~/.cortex is; it gets a key of the agent.
                                     Then, each as a line of stdin:
  key                      says the agent's public key, as OpenSSH has it and as base64url
  login                    `daemon login`: says where to go, and with which code
  poll                     asks once whether somebody has answered
  start                    the daemon begins: it reads login and tokens, and attests
  run PROJECT COMMAND      has the daemon run a command with the values of the `.env` file
                           in FOLDER, which the daemon asks for; says how it ended, and how
                           often it discovered. A PROJECT with a space is in double quotes
  together PROJECT COUNT   has the daemon do what so many programs have it do that are started
                           at once: it discovers for all, and then asks for the values of each
  config PROJECT APP       fetches a template, which takes a token that the daemon has
  jwks                     verifies the login by the key set
  again                    sends the daemon's last request once more, byte for byte
  forged WHAT PROJECT      asks for the values of a project with WHAT changed: ts, method,
                           path, body, token or session
"""

import base64
import hashlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from http_calls import OPENER, say

server, folder, agent = sys.argv[1:]
KEY = os.path.join(folder, f"agent-{agent}.key")
LOGIN = os.path.join(folder, "daemon-session.json")
TOKENS = os.path.join(folder, "daemon-projects.json")
ENV = os.path.join(folder, ".env")


def b64(value):
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def from_b64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def public(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def claims(token):
    """What a JWT says; nothing for what is none."""
    try:
        return json.loads(from_b64(token.split(".")[1]))
    except (IndexError, ValueError):
        return {}


def exchange(method, path, fields, body=b""):
    """Status and text of an answer."""
    fields = {"Content-Type": "application/json", **fields} if body else fields
    escaped = urllib.parse.quote(path, safe="/:@!$&'()*+,;=%")
    request = urllib.request.Request(server + escaped, body or None, fields, method=method)
    try:
        answer = OPENER.open(request, timeout=20)
    except urllib.error.HTTPError as refusal:
        answer = refusal
    with answer:
        return answer.status, answer.read().decode()


def post(path, value, fields=None):
    status, text = exchange("POST", path, fields or {}, json.dumps(value).encode())
    return status, json.loads(text)


def refusal(step, status, said):
    """What a client shows of an error, and acts on."""
    details = said.get("details") or {}
    say(
        step=step,
        status=status,
        error=said["error"],
        code=said["error_code"],
        reason=details.get("reason"),
        grant=details.get("grant_id"),
        keys=details.get("requested_keys"),
    )


def kept(path, value):
    """Writes a file of the agent's user alone."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
    os.chmod(path, 0o600)


def is_over(moment):
    """Whether a token ends within a minute. One of which that cannot be read does."""
    try:
        ends = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    except ValueError:
        return True
    if ends.tzinfo is None:
        ends = ends.replace(tzinfo=timezone.utc)
    return ends.timestamp() < time.time() + 60


def named(rest):
    """A project, and what follows it in a line."""
    if rest.startswith('"'):
        project, _, rest = rest[1:].partition('"')
        return project, rest.strip()
    project, _, rest = rest.partition(" ")
    return project, rest


class Login:
    def begin(self):
        status, self.got = post("/device/authorize", {"client_id": "cortex-cli"})
        say(
            step="login",
            status=status,
            code=self.got["user_code"],
            url=server + self.got["verification_uri"],
            interval=self.got["interval"],
            expires_in=self.got["expires_in"],
        )

    def poll(self):
        question = {
            "device_code": self.got["device_code"],
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        }
        status, said = post("/device/token", question)
        if status != 200:
            # It goes on for this code alone, and gives up on any other.
            waits = said["error_code"] == "authorization_pending"
            say(step="poll", status=status, code=said["error_code"], waits=waits)
            return
        session = {
            "access_token": said["access_token"],
            "expires_in": said["expires_in"],
            "server_url": server,
        }
        kept(LOGIN, session)
        says = claims(said["access_token"])
        say(
            step="poll",
            status=status,
            type=said["token_type"],
            agent=says["sub"],
            days=(says["exp"] - says["iat"]) // 86400,
            kid=said["kid"],
        )


class Daemon:
    def __init__(self):
        with open(LOGIN, encoding="utf-8") as file:
            self.login = json.load(file)["access_token"]
        self.agent = claims(self.login)["sub"]
        with open(os.path.join(folder, f"agent-{self.agent}.key"), encoding="ascii") as file:
            self.key = Ed25519PrivateKey.from_private_bytes(from_b64(file.read().strip()))
        self.process = Ed25519PrivateKey.generate()
        self.tokens, self.last, self.discovered = {}, None, 0
        if os.path.exists(TOKENS):
            with open(TOKENS, encoding="utf-8") as file:
                self.tokens = json.load(file)
        status, said = post(
            "/daemon/attest",
            {
                "attestation_pub": b64(public(self.process)),
                "binary_sha256": hashlib.sha256(b"cortex-daemon").hexdigest(),
                "daemon_version": "0.1.0",
                "daemon_pid": os.getpid(),
                "daemon_uid": os.getuid(),
                "hostname": "old-host",
            },
            {"Authorization": "Bearer " + self.login},
        )
        if status != 200:
            refusal("start", status, said)
            return
        self.session = said["session_id"]
        say(
            step="start",
            status=status,
            agent=self.agent,
            expires_in=said["expires_in"],
            enforced=said["allowlist_enforced"],
        )

    def send(self, method, path, token, bearer=None, body=b"", forged=None):
        """A request with `X-Daemon-Attestation`; `forged` is what is another than signed."""
        ts, jti = str(int(time.time())), str(uuid.uuid4())
        digest = hashlib.sha256(body).hexdigest()
        signed = {"ts": ts, "jti": jti, "method": method, "path": path}
        signed |= {"digest": digest, "token": token}
        message = "|".join({**signed, **(forged or {})}.values())
        signature = b64(self.process.sign(message.encode()))
        header = ".".join([self.session, ts, jti, digest, token, signature])
        fields = {
            "X-Daemon-Attestation": header,
            "X-Cortex-Caller-Pid": str(os.getpid()),
            "X-Cortex-Caller-Binary-Sha256": hashlib.sha256(b"cortex-daemon").hexdigest(),
            "X-Cortex-Caller-Cwd": folder,
            "X-Cortex-Hostname": "old-host",
            "X-Cortex-Os": "linux/x86_64",
        }
        if bearer is not None:
            fields["Authorization"] = "Bearer " + bearer
        self.last = (method, path, fields, body)
        return exchange(method, path, fields, body)

    def token_id(self, token):
        return claims(token).get("jti") or hashlib.sha256(token.encode()).hexdigest()

    def question(self, project):
        content = ""
        if os.path.exists(ENV):
            with open(ENV, encoding="utf-8") as file:
                content = file.read()
        ts, nonce = int(time.time()), secrets.token_hex(8)
        message = f"{ts}|{nonce}|{self.agent}|/agent/discover"
        return json.dumps(
            {
                "agent_id": self.agent,
                "auth_proof": b64(self.key.sign(message.encode())),
                "ts": ts,
                "nonce": nonce,
                "context": {"project_name": project, "file_content": content},
                "regenerate_token": False,
            }
        ).encode()

    def discover(self, project):
        """A token of the project; nothing, and a line that says why, where there is none."""
        body = self.question(project)
        self.discovered += 1
        status, text = self.send("POST", "/agent/discover", "agent:" + self.agent, body=body)
        said = json.loads(text)
        if status != 200:
            refusal("run", status, said)
            return None
        token = {"token": said["project_token"], "expires_at": said["token_expires_at"]}
        self.tokens[project] = token
        kept(TOKENS, self.tokens)
        return said["project_token"]

    def held(self, project):
        """The token that it has for a project, if that is good for a while."""
        token = self.tokens.get(project)
        return token["token"] if token and not is_over(token["expires_at"]) else None

    def values(self, project):
        """The values of a project. A token that is refused is thrown away, once."""
        for anew in (False, True):
            token = self.held(project) or self.discover(project)
            if token is None:
                return None
            path = "/project/secrets/" + project
            status, text = self.send("GET", path, self.token_id(token), token)
            if status == 200:
                return json.loads(text)["env_vars"]
            said = json.loads(text)
            over = status == 401 or said["error_code"] in ("token_expired", "token_revoked")
            if anew or not over:
                refusal("run", status, said)
                return None
            del self.tokens[project]
            kept(TOKENS, self.tokens)
        return None

    def run(self, project, command):
        self.discovered = 0
        values = self.values(project)
        if values is None:
            return
        # Values of the server over those of the file, as the old daemon had it.
        environment = {**os.environ, **values}
        ended = subprocess.run(
            ["sh", "-c", command], env=environment, stdout=subprocess.PIPE, check=False
        )
        out = ended.stdout.decode()
        say(
            step="run",
            exit_code=ended.returncode,
            out=out,
            names=sorted(values),
            discovered=self.discovered,
        )

    def together(self, project, count):
        path = "/project/secrets/" + project

        def discover(_):
            body = self.question(project)
            return self.send("POST", "/agent/discover", "agent:" + self.agent, body=body)

        def values(text):
            token = json.loads(text)["project_token"]
            return self.send("GET", path, self.token_id(token), token)[0]

        with ThreadPoolExecutor(int(count)) as pool:
            discovered = list(pool.map(discover, range(int(count))))
            given = [text for status, text in discovered if status == 200]
            statuses = list(pool.map(values, given))
        codes = [json.loads(text)["error_code"] for status, text in discovered if status != 200]
        say(step="together", refused=codes, run=statuses.count(200))

    def config(self, project, app):
        token = self.tokens[project]["token"]
        path = f"/project/config/{project}/{app}"
        status, text = self.send("GET", path, self.token_id(token), token)
        if status == 200:
            say(step="config", status=status, text=text)
        else:
            refusal("config", status, json.loads(text))

    def again(self):
        status, text = exchange(*self.last)
        refusal("again", status, json.loads(text))

    def forged(self, what, project):
        token = self.tokens[project]["token"]
        path = "/project/secrets/" + project
        change = {
            "ts": {"ts": str(int(time.time()) - 1)},
            "method": {"method": "POST"},
            "path": {"path": "/project/secrets/other"},
            "body": {"digest": hashlib.sha256(b"{}").hexdigest()},
            "token": {"token": hashlib.sha256(b"another").hexdigest()},
            "session": {},
        }[what]
        mine = self.session
        if what == "session":
            self.session = mine[::-1]
        status, text = self.send("GET", path, self.token_id(token), token, forged=change)
        self.session = mine
        refusal("forged", status, json.loads(text))


def verify_login():
    """The login's token by the key set that everybody can fetch (RFC 7515, RFC 7518)."""
    with open(LOGIN, encoding="utf-8") as file:
        token = json.load(file)["access_token"]
    head, payload, signature = token.split(".")
    header = json.loads(from_b64(head))
    _, text = exchange("GET", "/.well-known/jwks.json", {})
    [jwk] = [key for key in json.loads(text)["keys"] if key["kid"] == header["kid"]]
    x, y = (int.from_bytes(from_b64(jwk[part]), "big") for part in "xy")
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    raw = from_b64(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(der, f"{head}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
    say(step="jwks", typ=header["typ"], alg=header["alg"])


os.makedirs(folder, mode=0o700, exist_ok=True)
if not os.path.exists(KEY):
    made = Ed25519PrivateKey.generate()
    seed = made.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    with open(KEY, "w", encoding="ascii") as file:
        file.write(b64(seed))
with open(KEY, encoding="ascii") as file:
    own = Ed25519PrivateKey.from_private_bytes(from_b64(file.read()))
login, daemon = Login(), None
for told in map(str.strip, sys.stdin):
    word, _, rest = told.partition(" ")
    if word == "key":
        ssh = public(own)
        blob = b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-ed25519", ssh))
        line = "ssh-ed25519 " + base64.b64encode(blob).decode()
        say(step="key", line=line, public=b64(ssh))
    elif word == "login":
        login.begin()
    elif word == "poll":
        login.poll()
    elif word == "start":
        daemon = Daemon()
    elif word == "run":
        daemon.run(*named(rest))
    elif word == "together":
        daemon.together(*named(rest))
    elif word == "config":
        daemon.config(*named(rest))
    elif word == "jwks":
        verify_login()
    elif word == "again":
        daemon.again()
    elif word == "forged":
        daemon.forged(*rest.split(" ", 1))
    else:
        raise ValueError(told)
