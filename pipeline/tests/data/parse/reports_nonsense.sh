#!/bin/sh
echo "{ nonsense" >&2
exit 1
