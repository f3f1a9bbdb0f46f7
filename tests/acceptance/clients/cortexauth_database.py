"""A database of CortexAuth, made as that system makes it.

cortexauth_database.py FILE PASSWORD AGENT KEY VALUE

It has the agent AGENT with the public key KEY (base64url), the secret `api/key` with VALUE,
the template `nginx`, and the project `My Shop`, to which both were granted.
"""

import base64
import os
import sqlite3
import sys

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from http_calls import say

TABLES = """
create table kek_metadata(id integer primary key, salt text, sentinel_ciphertext text,
    kek_version integer);
create table secrets(id text, key_path text, secret_type text, encrypted_value text,
    wrapped_dek text, namespace text, is_honey_token integer, description text,
    created_at text);
create table agents(agent_id text primary key, agent_pub text);
create table project_secret_grants(project_name text, secret_id text, env_var_name text);
"""

file, password, agent, public, value = sys.argv[1:]
salt = os.urandom(16)
kek = hash_secret_raw(password.encode(), salt, 3, 65536, 1, 32, Type.ID, 19)


def sealed(key, text):
    nonce = os.urandom(12)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, text, None)).decode()


secrets = [
    ("api/key", "KEY_VALUE", value, "API_KEY"),
    ("nginx", "TEMPLATE_CONFIG", "listen 80;\npassword {{API_KEY}};\n", "NGINX"),
]
with sqlite3.connect(file) as database:
    database.executescript(TABLES)
    database.execute(
        "insert into kek_metadata(salt, sentinel_ciphertext, kek_version) values (?, ?, 1)",
        (base64.b64encode(salt).decode(), sealed(kek, b"sentinel")),
    )
    database.execute("insert into agents values (?, ?)", (agent, public))
    for number, (path, kind, text, name) in enumerate(secrets):
        dek = os.urandom(32)
        database.execute(
            "insert into secrets values (?, ?, ?, ?, ?, 'default', 0, null, '2026')",
            (f"id-{number}", path, kind, sealed(dek, text.encode()), sealed(kek, dek)),
        )
        database.execute(
            "insert into project_secret_grants values ('My Shop', ?, ?)", (f"id-{number}", name)
        )
say(step="made", file=file)
