#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks lease.pml exhaustively, and that spin finds the error in each broken variant. usage: check.sh
# VG_MODEL_CRASHES, VG_MODEL_STALLS, VG_MODEL_LOSSES and VG_MODEL_REFUSALS (1, 1, 1, 1) make the whole checks larger.
set -euo pipefail
cd "$(dirname "$0")"
model=$PWD/lease.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
bounds="-DCRASHES=${VG_MODEL_CRASHES:-1} -DSTALLS=${VG_MODEL_STALLS:-1} -DLOSSES=${VG_MODEL_LOSSES:-1}"
refusals="-DREFUSALS=${VG_MODEL_REFUSALS:-1}"
# The least that brings an error about, so that it is the variant's own.
small="-DCRASHES=1 -DSTALLS=1 -DLOSSES=1"
crash="-DCRASHES=1 -DSTALLS=0 -DLOSSES=0"
stall="-DCRASHES=0 -DSTALLS=1 -DLOSSES=0"
loss="-DCRASHES=0 -DSTALLS=0 -DLOSSES=1"
bad=0

# search safety|ends DEFINITIONS [OPTIMISATION]: pan's words go to the file `out`.
search() {
  local build run
  case $1 in
    safety) build="-DSAFETY -DNOCLAIM" run="" ;;
    ends) build="-DNFAIR=3" run="-a -f" ;;
  esac
  # shellcheck disable=SC2086
  nice spin -a $2 "$model" >out && nice gcc "-O${3:-0}" -w -DCOLLAPSE -DVECTORSZ=2048 -DMEMLIM=1500 $build -o pan pan.c
  # shellcheck disable=SC2086
  nice ./pan -m1000000 $run >out 2>&1 || true
}

figure() { sed -n "s/^ *\([0-9.e+]*\) states, stored.*/\1/p" out; }

# holds NAME safety|ends DEFINITIONS: no error, and every state was looked at.
holds() {
  local start=$EPOCHREALTIME verdict=holds
  search "$2" "$3" 2
  if ! grep -q 'errors: 0$' out || grep -qE 'max search depth|out of memory|memory limit|interrupted|Search not completed' out; then
    verdict=FAILED bad=1
    tail -n 40 out
  fi
  printf '%-34s %-6s %-6s %9s states %5.1f s\n' "$1" "$2" $verdict "$(figure)" \
    "$(((${EPOCHREALTIME/./} - ${start/./}) / 100000))e-1"
}

# breaks NAME safety|ends DEFINITIONS WORDS: an error, and with these words.
breaks() {
  local said
  search "$2" "$3"
  said=$(sed -n 's/^pan:1: \(.*\)$/\1/p' out)
  if [[ $said == *"$4"* ]]; then
    printf '%-34s %-6s error found: %s\n' "$1" "$2" "$said"
  else
    printf '%-34s %-6s FAILED: no such error: %s\n' "$1" "$2" "$4"
    tail -n 40 out
    bad=1
  fi
}

holds "token, late requests" safety "-DKIND=TOKEN -DLATE $bounds"
holds "token, late, refusals" safety "-DKIND=TOKEN -DLATE $refusals $bounds"
holds "list, late, refusals" safety "-DKIND=LIST -DLATE $refusals $bounds"
# While requests are in time, no token comes twice to a provider that took it: TOKEN is the same as LIST.
holds "list, refusals" safety "-DKIND=LIST $refusals $bounds"
holds "no Lookup, late, refusals" safety "-DKIND=NONE -DLATE $refusals $bounds"
holds "token" ends "-DKIND=TOKEN $bounds"
holds "no Lookup, late" ends "-DKIND=NONE -DLATE $bounds"
holds "three replicas, list" safety "-DN=3 -DKIND=LIST -DCRASHES=1 -DSTALLS=1 -DLOSSES=0"

breaks "reached: stored" safety "-DNEVER=STORED $small" "(5!=5)"
breaks "reached: failed" safety "-DNEVER=FAILED $small" "(6!=6)"
breaks "reached: canceled" safety "-DNEVER=CANCELED $small" "(7!=7)"
breaks "reached: unknown" safety "-DKIND=NONE -DNEVER=UNKNOWN $small" "(8!=8)"

# Depth first finds what it meets first: jobs made twice, or two submissions whose fate is open.
twice='jobs[0]'
breaks "lease_seq not compared" safety "-DBROKEN_NO_SEQ $stall" "owner==me"
breaks "lease_seq not raised" safety "-DBROKEN_NO_RAISE $stall" "owner==me"
breaks "submitted before the commit" safety "-DKIND=LIST -DBROKEN_SUBMIT_FIRST $crash" "$twice"
breaks "submitted again without Lookup" safety "-DKIND=LIST -DBROKEN_BLIND $crash" "$twice"
breaks "zombie does not look at its clock" safety "-DKIND=LIST -DBROKEN_NO_CLOCK $stall" "$twice"
breaks "absent: another token" safety "-DKIND=TOKEN -DLATE -DBROKEN_EARLY -DBROKEN_NEW_TOKEN $loss" "$twice"
breaks "one blob key for all fetches" safety "-DBROKEN_SHARED_KEY $small" "blob"
breaks "no rescue" ends "-DBROKEN_NO_RESCUE $crash" "acceptance cycle"

breaks "list: absent before it is over" safety "-DKIND=LIST -DLATE -DBROKEN_EARLY $loss" "$twice"
breaks "token: absent early, then refused" safety "-DKIND=TOKEN -DLATE -DBROKEN_EARLY -DREFUSALS=1 $loss" "$twice"
breaks "the worker does not look at its clock" safety "-DKIND=LIST -DLATE -DBROKEN_NO_START_BY $stall" "$twice"
[ $bad = 0 ] && echo "lease.pml: holds, and every broken variant was found"
exit $bad
