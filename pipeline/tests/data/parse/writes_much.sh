#!/bin/sh
echo answer 600000 0
yes | head -c 600000
