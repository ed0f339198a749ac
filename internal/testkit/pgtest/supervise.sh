# Carries out commands that come by standard input, one a line, and answers each
# with its exit code. At the end of the input, which comes when the other end is
# closed or its process is gone, stops the server and removes the folder.
# Arguments: the folder of the binaries, the cluster's folder, the superuser.
bin=$1 dir=$2 role=$3
trap '' HUP INT TERM PIPE
exec 2>>"$dir/log"

# The server must not inherit the lock file (3), our input or our output.
run() { "$@" </dev/null >>"$dir/log" 2>&1 3>&-; }

while read -r command; do
    case $command in
    init) run "$bin/initdb" -D "$dir/data" -U "$role" -A trust -E UTF8 --locale=C -N ;;
    start) run "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 start ;;
    stop) run "$bin/pg_ctl" -D "$dir/data" -m fast -w -t 60 stop ;;
    *) false ;;
    esac
    echo $?
done

if [ -f "$dir/data/postmaster.pid" ]; then
    run "$bin/pg_ctl" -D "$dir/data" -m immediate -w -t 60 stop
fi
cd / && rm -rf "$dir"
