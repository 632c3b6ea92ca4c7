#!/bin/sh
all=$(env)
printf 'answer %d 0\n%s' ${#all} "$all"
