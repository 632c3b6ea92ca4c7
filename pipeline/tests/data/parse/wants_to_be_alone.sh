#!/bin/sh
# The document's first line is a directory: there it leaves a trace for a while.
read -r directory
if mkdir "$directory/busy" 2>/dev/null; then
    sleep 0.1
    rmdir "$directory/busy"
    echo alone
else
    echo crowded
fi
