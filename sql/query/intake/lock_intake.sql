-- Without waiting for it: writers of the source would have to wait behind.
LOCK TABLE {intake} IN ACCESS EXCLUSIVE MODE NOWAIT
