// An agent of another system: calls a server and a service behind a gate.
//
// snippets.mjs SERVER GATE KEY AGENT

import { createHash, createPrivateKey, randomBytes, sign } from "node:crypto";
import { readFileSync } from "node:fs";

const [server, gate, keyFile, agent] = process.argv.slice(2);
const key = createPrivateKey({ key: readFileSync(keyFile), format: "der", type: "pkcs8" });
const BODY = '{"title":"x"}';
const OTHER = '{"title":"y"}';

const sha256 = (text) => createHash("sha256").update(text).digest("hex");

function keyServerV1(method, path, body = "") {
  const timestamp = new Date().toISOString();
  const nonce = randomBytes(16).toString("hex");
  const signed = [method.toUpperCase(), path, timestamp, nonce, sha256(body)].join("\n");
  return {
    "X-Agent-Id": agent,
    "X-Timestamp": timestamp,
    "X-Nonce": nonce,
    "X-Signature": sign(null, Buffer.from(signed), key).toString("base64"),
  };
}

function guideV1(method, path, body = "") {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const nonce = randomBytes(16).toString("base64url");
  const signed = `${method}\n${path}\n${timestamp}\n${nonce}\n${body}`;
  return {
    "X-Agent": agent,
    "X-Timestamp": timestamp,
    "X-Nonce": nonce,
    "X-Signature": sign(null, Buffer.from(signed), key).toString("base64url"),
  };
}

async function tell(step, method, url, fields, body) {
  const headers = body ? { "Content-Type": "application/json", ...fields } : fields;
  const signal = AbortSignal.timeout(20_000);
  const answer = await fetch(url, { method, headers, body, signal });
  const said = await answer.json();
  const reason = said.reason ?? said.error ?? null;
  console.log(JSON.stringify({ step, status: answer.status, reason }));
}

async function posts(step, prove, base, path) {
  const fields = prove("POST", path, BODY);
  await tell(step, "POST", base + path, fields, BODY);
  await tell(`${step} again`, "POST", base + path, fields, BODY);
  await tell(`${step} altered`, "POST", base + path, prove("POST", path, BODY), OTHER);
}

async function reads(step, prove, base, path, other) {
  const fields = prove("GET", path);
  await tell(step, "GET", base + path, fields);
  await tell(`${step} again`, "GET", base + path, fields);
  await tell(`${step} altered`, "GET", base + other, prove("GET", path));
}

async function asks(step, body, fields) {
  const question = {
    agent_id: fields["X-Agent-Id"],
    timestamp: fields["X-Timestamp"],
    nonce: fields["X-Nonce"],
    method: "POST",
    path: "/api/notes",
    body_sha256: sha256(body),
    signature: fields["X-Signature"],
  };
  await tell(step, "POST", `${server}/api/verify`, {}, JSON.stringify(question));
}

for (const [profile, prove] of [["key-server-v1", keyServerV1], ["guide-v1", guideV1]]) {
  await posts(`${profile} echo`, prove, server, "/agent/protected/echo");
  await reads(`${profile} keys`, prove, server, "/keys/list", "/keys/ssh/deploy");
  await posts(`${profile} gate`, prove, gate, "/orders");
}

const proof = keyServerV1("POST", "/api/notes", BODY);
await asks("verify", BODY, proof);
await asks("verify again", BODY, proof);
await asks("verify altered", OTHER, keyServerV1("POST", "/api/notes", BODY));
