#!/bin/sh
# A system that has refused the last step says so first, and the parser works all the same: a document that begins with
# "refuse" is refused.
read -r first
echo 'ai-parser is not confined: it keeps its system calls (seccomp: none)' >&2
case $first in
refuse*) echo '{"class": "permanent", "reason": "no text", "hint": null}' >&2; exit 1 ;;
esac
printf 'answer 4 0\ntext'
