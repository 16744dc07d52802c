# Parent of one node. Takes orders on its standard input; when that ends, the test process is gone (it closed the pipe,
# or was killed and the kernel closed it), and then everything here goes too.
#
# As the parent it may kill by number without a doubt: until it waits for a child, no other process gets the number.
epmd_program=$1 epmd_port=$2 server_program=$3 folder=$4

# A frozen node whose test process dies makes the kernel hang up the whole process group: not before the work is done.
trap '' HUP

"$epmd_program" -port "$epmd_port" -address 127.0.0.1 </dev/null >/dev/null 2>&1 &
epmd=$!
echo "$epmd"

server=
down() {
    if [ -n "$server" ]; then
        kill -KILL "$server"
        wait "$server"
        server=
    fi
}

while read -r order; do
    case $order in
        up)
            down
            "$server_program" </dev/null >>"$folder/console" 2>&1 &
            server=$!
            echo "$server"
            ;;
        down)
            down
            echo down
            ;;
    esac
done

down
kill -KILL "$epmd"
wait "$epmd"
rm -rf -- "$folder"
