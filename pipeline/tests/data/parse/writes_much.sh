#!/bin/sh
yes | head -c 600000
