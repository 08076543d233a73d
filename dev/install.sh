#!/usr/bin/env bash
# Installs what dev/apt.txt lists and this machine lacks. Needs root or sudo; asks nothing.
# An rsyslog installed here is never started as a service: the tests run their own.
set -euo pipefail
cd "$(dirname "$0")"

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

installed() { # PACKAGE: is it installed (not merely known)?
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Administration tools live in sbin, which an ordinary user's PATH leaves out.
PATH="$PATH:/usr/sbin:/sbin"

missing=()
while read -r package command; do
    case "$package" in '' | '#'*) continue ;; esac
    if installed "$package"; then continue; fi
    if [ -n "$command" ] && command -v "$command" >/dev/null; then continue; fi
    missing+=("$package")
done <apt.txt

if [ "${#missing[@]}" -eq 0 ]; then
    echo "dev/install.sh: nothing to install"
    exit 0
fi
echo "dev/install.sh: installing ${missing[*]}"

# Debian asks policy-rc.d before it starts a service; 101 means "not allowed".
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
fi

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq \
        -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@"
}
apt update
apt install --yes --no-install-recommends "${missing[@]}"

case " ${missing[*]} " in
*' rsyslog '*)
    # Nor at the next boot. Without systemd there is nothing to disable.
    if command -v systemctl >/dev/null; then
        as_root systemctl disable rsyslog.service >/dev/null 2>&1 || true
    fi
    ;;
esac
