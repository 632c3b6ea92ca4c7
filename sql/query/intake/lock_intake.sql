-- Without waiting for it: whoever writes to the source would have to wait behind.
LOCK TABLE {intake} IN ACCESS EXCLUSIVE MODE NOWAIT
