#!/bin/sh
# The document's first line is a directory: there it leaves a trace for a while.
read -r directory
if mkdir "$directory/busy" 2>/dev/null; then
    sleep 0.1
    rmdir "$directory/busy"
    printf 'answer 6 0\nalone\n'
else
    printf 'answer 8 0\ncrowded\n'
fi
