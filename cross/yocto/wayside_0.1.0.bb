SUMMARY = "What is near me, what can it do, how do I reach it, and how far may I trust the answer"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=a244921af3b6d2602976e91fbe4d781b"

# The sources are this repository; the crates are those of Cargo.lock (cargo-update-recipe-crates writes them down).
SRC_URI = "git://REPLACE_BY_YOUR_MIRROR/wayside.git;protocol=https;branch=main"
SRCREV = "${AUTOREV}"
S = "${WORKDIR}/git"

inherit cargo cargo-update-recipe-crates systemd useradd
# What `bitbake -c update_crates wayside` writes; there is no build without it, only a parse.
include ${BPN}-crates.inc

CARGO_BUILD_FLAGS += "-p wayside --bin wayside"

USERADD_PACKAGES = "${PN}"
USERADD_PARAM:${PN} = "--system --home-dir /var/lib/wayside --shell /sbin/nologin --user-group wayside"
SYSTEMD_SERVICE:${PN} = "wayside.service"

do_install:append() {
    install -D -m 0644 ${S}/cross/systemd/wayside.service ${D}${systemd_system_unitdir}/wayside.service
    install -D -m 0644 ${S}/cross/deb/wayside.toml ${D}${sysconfdir}/wayside/wayside.toml
}
CONFFILES:${PN} = "${sysconfdir}/wayside/wayside.toml"
# `release` is not stripped: package_strip does that, and its QA refuses what is stripped before.
