#!/bin/sh
# Install SLURM and munge from Debian's packages, without having their services started, now or at the next boot.
set -eu

packages="slurmctld slurmd slurm-client munge"
missing=""
for package in $packages; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ]; then
    echo "test-slurm: expected the packages$missing, found that they are not installed; install them as root: apt-get install$missing" >&2
    exit 1
fi
echo "test-slurm: installing$missing"
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f $policy' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get install -y -qq --no-install-recommends $missing >/dev/null
# Packages enable their services; those that were there before stay as they were.
for package in $missing; do
    case $package in
    slurmctld | slurmd | munge)
        deb-systemd-helper disable "$package.service" >/dev/null 2>&1 || true
        update-rc.d "$package" disable >/dev/null 2>&1 || true
        ;;
    esac
done
