"""A mail server: aiosmtpd, with STARTTLS or TLS, and a login by PLAIN or LOGIN.

Words: `starttls` or `tls`, certificate, key, user, password, and the port, of which 0 is
any. It prints where it is, then each message that it takes, and each login that it refuses.

A line on its standard input has it answer otherwise from there on: `RCPT 550 5.1.1 nobody`
to each recipient, `DATA 451 4.3.0 later` to each message, and `take` as at first. It prints
that it has read the line, and then each time that it gave such an answer."""

import asyncio
import email
import email.policy
import json
import ssl
import sys
import threading

from aiosmtpd.smtp import SMTP, AuthResult


def say(what):
    print(json.dumps(what), flush=True)


# What it answers at a step instead of taking it.
refusals = {}


def listen():
    for line in sys.stdin:
        step, _, answer = line.strip().partition(" ")
        refusals.clear()
        if answer:
            refusals[step] = answer
        say({"answers": line.strip()})


def refusal(step):
    answer = refusals.get(step)
    if answer:
        say({"turned_away": int(answer.split()[0]), "at": step})
    return answer


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        answer = refusal("RCPT")
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        answer = refusal("DATA")
        if answer:
            return answer
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
        session, "127.0.0.1", int(sys.argv[6]), ssl=context if encrypted else None
    )
    say({"port": server.sockets[0].getsockname()[1]})
    threading.Thread(target=listen, daemon=True).start()
    await server.serve_forever()


asyncio.run(main())
