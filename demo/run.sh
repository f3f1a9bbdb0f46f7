#!/usr/bin/env bash
# The main job from beginning to end, with the built programs and nothing else.
# usage: demo/run.sh DIRECTORY-OF-PROGRAMS. Ends non-zero if any step differs.
set -euo pipefail
programs="$(cd "$1" && pwd)"
PATH="$programs:$PATH"
for program in procura procurad procura-demo; do
  [ -x "$programs/$program" ] || { echo "demo: $programs/$program is missing; run ./x demo" >&2; exit 1; }
done

place="$(mktemp -d "${TMPDIR:-/tmp}/procura-demo.XXXXXX")"
chmod 700 "$place"
running=()
finish() {
  status=$?
  procura logout >/dev/null 2>&1 || true
  [ "${#running[@]}" = 0 ] || kill "${running[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  if [ "$status" != 0 ]; then
    printf '\nThe demonstration failed (status %s). What the programs logged:\n' "$status" >&2
    tail -n 20 "$place"/*.log >&2 || true
  fi
  rm -rf "$place"
}
trap finish EXIT

step() { printf '\n%s\n' "$*"; }
# try CODE COMMAND…: shows the command, runs it, and insists on its exit code.
# What it printed is in $out.
try() {
  local wanted="$1" code=0; shift
  printf '  $ %s\n' "$*"
  out="$("$@" 2>&1)" || code=$?
  [ -z "$out" ] || printf '%s\n' "$out" | sed 's/^/    /'
  [ "$code" = "$wanted" ] || { echo "demo: exit code $code where $wanted was expected" >&2; exit 1; }
}
must_say() { case "$out" in *"$1"*) ;; *) echo "demo: expected to read: $1" >&2; exit 1 ;; esac; }
must_not_say() { case "$out" in *"$1"*) echo "demo: this must not be printed: $1" >&2; exit 1 ;; *) ;; esac; }
# field NAME: the first value of that name in the JSON on stdin.
field() { grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d'"' -f4; }
# await FILE: the first line that a program in the background printed.
await() {
  local tries=0
  until [ -s "$1" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || { echo "demo: nothing appeared in $1" >&2; exit 1; }
    sleep 0.05
  done
  head -n 1 "$1"
}

export PROCURA_HOME="$place/home"
passphrase="demo passphrase $RANDOM$RANDOM$RANDOM"
api_key="demo-key-$RANDOM-$RANDOM-$RANDOM-$RANDOM"
printf '%s\n' "$passphrase" > "$place/passphrase"

step "1. A server starts on a fresh home. There is nothing in it yet."
procura server --listen 127.0.0.1:0 --health-listen 127.0.0.1:0 > "$place/ready" 2> "$place/server.log" &
running+=($!)
ready="$(await "$place/ready")"
printf '    %s\n' "$ready"
PROCURA_SERVER="$(printf '%s' "$ready" | field api)"
export PROCURA_SERVER

step "2. Alice makes the installation. Her own key is made here and stays with her;
   the passphrase comes through a file descriptor, never as an argument."
try 0 procura init --owner alice --passphrase-fd 3 3< "$place/passphrase"

ledger_key="$(printf '%s\n' "$out" | grep -m 1 '^procura/')"
try 0 procura login --for 1h --passphrase-fd 3 3< "$place/passphrase"

step "3. Two namespaces. The same path may exist in both; nothing crosses between them."
try 0 procura namespace create shop
try 0 procura namespace create lab
printf '%s' "$api_key" > "$place/value"
try 0 procura -n shop secret put api/key --file "$place/value"
printf 'postgres://shop' > "$place/value"
try 0 procura -n shop secret put db/url --file "$place/value"
printf 'a key of the laboratory' > "$place/value"
try 0 procura -n lab secret put api/key --file "$place/value"
rm "$place/value"
try 0 procura -n shop secret list

step "4. An agent, and the host that it runs on. The daemon makes a device key there;
   the link code is the only way in, works once, and names the one server to believe."
try 0 procura -n shop agent add scribe --no-code
code="$(procura -n shop agent code scribe 2> /dev/null)"
printf '  $ procura -n shop agent code scribe\n    %.24s… (shown once)\n' "$code"
procurad --home "$place/host" --socket "$place/agent.sock" > "$place/daemon" 2> "$place/daemon.log" &
running+=($!)
await "$place/daemon" > /dev/null
export PROCURA_SOCKET="$place/agent.sock"
printf '  $ procura join < code\n'
out="$(printf '%s' "$code" | procura join 2>&1)" || { printf '%s\n' "$out"; exit 1; }
printf '    %s\n' "$out"
printf '  $ procura join < code        # the same code again\n'
if out="$(printf '%s' "$code" | procura join 2>&1)"; then echo "demo: a code worked twice" >&2; exit 1; fi
printf '%s\n' "$out" | sed 's/^/    /'
try 0 procura -n shop project set orders --agent scribe --env SHOP_API_KEY=api/key --env DB_URL=db/url

step "5. The agent's work: a program that has to show a key to a service. The service is a
   stranger; it listens on this machine, and accepts one key."
printf '%s\n' "$api_key" | procura-demo service > "$place/service" 2> "$place/service.log" &
running+=($!)
url="$(await "$place/service")"
printf 'SHOP_API_KEY=\n' > "$place/first.env"
printf 'SHOP_API_KEY=\nDB_URL=\n' > "$place/more.env"
try 1 procura-demo child "$url"
must_say "SHOP_API_KEY is not in my environment"

step "6. The agent asks for it. Nobody has said yes, so nothing runs: exit code 75, pending."
run=(procura run --project orders --env-file "$place/first.env" -- procura-demo child "$url")
try 75 "${run[@]}"
must_say "request approve"
must_not_say "the service says"
request="$(procura -n shop --json request list | field id)"

step "7. Alice looks at it and says yes. Her key signs the exact grant."
try 0 procura -n shop request show "$request"
try 0 procura -n shop request approve "$request"

step "8. The same command again: it becomes the program, and the service accepts the key."
try 0 "${run[@]}"
must_say "the service says: your order is placed"
must_not_say "$api_key"

step "9. Asking for more than was granted waits again; what was granted goes on."
more=(procura run --project orders --env-file "$place/more.env" -- procura-demo child "$url" DB_URL)
try 75 "${more[@]}"
must_say "DB_URL"
try 0 "${run[@]}"

step "10. Alice takes the grant back. The very next read stops."
try 0 procura -n shop grant withdraw "$request"
try 75 "${run[@]}"
must_not_say "the service says"

step "11. The record: who, for whom, what, under which approval. No value is in it."
try 0 procura -n shop audit list --limit 8
must_not_say "$api_key"
try 0 procura audit export "$place/record"

step "12. It verifies offline: the server is stopped first."
procura logout > /dev/null 2>&1
kill "${running[0]}" && wait "${running[0]}" || { echo "demo: the server did not stop in order" >&2; exit 1; }
try 0 procura audit verify "$place/record" --key "$ledger_key"

step "13. One byte of the record is changed, and verification says where."
bundle="$(find "$place/record/tile/entries" -type f | head -n 1)"
middle=$(($(wc -c < "$bundle") / 2))
byte="$(dd if="$bundle" bs=1 skip="$middle" count=1 status=none | od -An -tu1 | tr -d ' ')"
printf "\\$(printf '%03o' $((byte ^ 1)))" | dd of="$bundle" bs=1 seek="$middle" conv=notrunc status=none
printf '  changed byte %s of %s\n' "$middle" "${bundle#"$place/"}"
code=0; out="$(procura audit verify "$place/record" --key "$ledger_key" 2>&1)" || code=$?
printf '  $ procura audit verify …\n'; printf '%s\n' "$out" | sed 's/^/    /'
[ "$code" != 0 ] || { echo "demo: the change was not found" >&2; exit 1; }
must_say "entry"

step "14. Neither the key nor the passphrase is in any file that the programs left."
rm "$place/passphrase"
if grep -rlF -e "$api_key" -e "$passphrase" "$place"; then echo "demo: found in the files above" >&2; exit 1; fi
step "Done. Everything went as it should."
