#!/bin/sh
printf 'caf\351'
