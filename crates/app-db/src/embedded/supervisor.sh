# Runs the server and stops it at the end of standard input: when the process that holds the other end stops it,
# ends, or is killed. So no server outlives us.
# Arguments: a folder to remove at the end, or ''; the signal that stops; the server's command.
trap '' HUP INT TERM
remove=$1 signal=$2
shift 2
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
{ read -r _ <&3; kill -s "$signal" "$server"; } 2>/dev/null &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill -s KILL "$watcher" 2>/dev/null
[ -z "$remove" ] || rm -rf -- "$remove"
exit "$status"
