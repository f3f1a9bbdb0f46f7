"""A mail server: aiosmtpd, with STARTTLS or TLS, and a login by PLAIN or LOGIN.

Words: `starttls` or `tls`, certificate, key, user, password. It prints where it is, then
each message that it takes, and each login that it refuses."""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def say(what):
    print(json.dumps(what), flush=True)


class Handler:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        say(
            {
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "encrypted": session.ssl is not None or sys.argv[1] == "tls",
                "login": bool(session.authenticated),
                "names": message.keys(),
                "subject": message["subject"],
                "id": message["message-id"],
                "text": message.get_content(),
            }
        )
        return "250 taken"


def authenticate(_server, _session, _envelope, _mechanism, data):
    good = data.login.decode() == sys.argv[4] and data.password.decode() == sys.argv[5]
    if not good:
        say({"refused": data.login.decode()})
    # What is not handled here is refused by the server, with 535.
    return AuthResult(success=good, handled=False)


async def main():
    way, certificate, key = sys.argv[1:4]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    encrypted = way == "tls"

    def session():
        return SMTP(
            Handler(),
            hostname="mail.test",
            tls_context=None if encrypted else context,
            require_starttls=not encrypted,
            auth_required=True,
            auth_require_tls=not encrypted,
            authenticator=authenticate,
        )

    server = await asyncio.get_running_loop().create_server(
        session, "127.0.0.1", 0, ssl=context if encrypted else None
    )
    say({"port": server.sockets[0].getsockname()[1]})
    await server.serve_forever()


asyncio.run(main())
