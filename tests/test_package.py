"""The Debian package in a small Debian of its own: installed, used, upgraded, removed, purged. And what is handed out beside it."""

import gzip
import json
import os
import pty
import re
import select
import subprocess
import tarfile
import time

import pytest

from harness import root as roots
from harness.packages import xtask
from harness.processes import BINARY, ROOT

pytestmark = pytest.mark.timeout(400)

CONFIG = "etc/gatehouse/gatehouse.yaml"
LINKS = ("qwen-gateway", "clawdbot")
COMMANDS = ("gatehouse", *LINKS)


class System:
    """A Debian in a folder."""

    def __init__(self, folder):
        self.folder = roots.copy(folder)

    def run(self, *words, check=True, **options):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        command = ["chroot", self.folder, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, stdin=subprocess.DEVNULL, **options)
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def install(self, package, *words):
        place = self.folder / "tmp" / package.name
        place.write_bytes(package.read_bytes())
        return self.run("dpkg", *words, "--install", f"/tmp/{package.name}")

    def path(self, name):
        return self.folder / name

    def state(self):
        return self.run("dpkg-query", "--show", "--showformat=${Status} ${Version}", "gatehouse", check=False).stdout


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A system without the package."""
    try:
        return System(tmp_path_factory.mktemp("debian") / "root")
    except roots.Unavailable as error:
        pytest.skip(f"NO DEBIAN CAN BE MADE HERE, THE PACKAGE IS UNTESTED: {error}")


@pytest.fixture(scope="module")
def system(bare, packages):
    bare.install(packages.first)
    return bare


def test_the_program_runs_under_its_three_names(system):
    said = system.run("gatehouse", "--version").stdout
    assert said == subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True).stdout
    for link in LINKS:
        assert os.readlink(system.path(f"usr/bin/{link}")) == "gatehouse"
        # Each is a profile: its own help, and its own refusal of what the others take.
        assert link in system.run(link, "--help").stdout
        assert system.run(link, "up", check=False).returncode == 2


def test_its_configuration_is_right_and_closed(system):
    assert system.run("gatehouse", "check", "/etc/gatehouse/gatehouse.yaml").stdout.strip().endswith("ok")
    owner = system.run("stat", "--format=%U %G %a", "/etc/gatehouse/gatehouse.yaml").stdout
    assert owner.split() == ["root", "gatehouse", "640"]
    for user in ("gatehouse", "gatehouse-chat"):
        fields = system.run("getent", "passwd", user).stdout.strip().split(":")
        group = system.run("getent", "group", "gatehouse").stdout.split(":")[2]
        assert fields[3] == group and fields[6] == "/usr/sbin/nologin"
    for name in ("var/lib/gatehouse-edge", "var/lib/gatehouse-edge/acme"):
        assert system.path(name).stat().st_mode & 0o777 == 0o755


def test_manual_pages_are_found_and_whole(system):
    pages = ["gatehouse", "gatehouse-gateway", "gatehouse-keys-new", "gatehouse-edge-host", *LINKS]
    for name, section in [*((page, "1") for page in pages), ("gatehouse.yaml", "5")]:
        where = system.run("man", "--where", section, name).stdout.strip()
        assert where == f"/usr/share/man/man{section}/{name}.{section}.gz"
        shown = system.run("man", section, name)
        assert "NAME" in shown.stdout and not shown.stderr.strip(), shown.stderr
    # Whatever a page names under "see also" and among its subcommands is there.
    named = re.findall(r"(gatehouse[a-z.-]*)\((\d)\)", system.run("man", "1", "gatehouse").stdout)
    assert len(named) > 8
    for name, section in named:
        system.run("man", "--where", section, name)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_load_and_complete(system, shell, tmp_path):
    """This machine's shells read the files where the package puts them."""
    share = system.path("usr/share")
    for command, begun, expected in (("gatehouse", "ke", "keys"), ("qwen-gateway", "--con", "--config"), ("clawdbot", "--gateway", "--gateway-config")):
        assert expected in COMPLETED[shell](share, command, begun, expected, tmp_path), f"{command} {begun}"


def bash(share, command, begun, *_):
    script = f"""source {share}/bash-completion/completions/{command}
        COMP_WORDS=({command} {begun}); COMP_CWORD=1
        "$(complete -p {command} | sed 's/.*-F \\([^ ]*\\).*/\\1/')" {command} {begun} {command}
        echo "${{COMPREPLY[@]}}" """
    return run_shell("bash", "--norc", "--noprofile", "-c", script)


def fish(share, command, begun, _, folder):
    script = f"source {share}/fish/vendor_completions.d/{command}.fish; complete --do-complete '{command} {begun}'"
    return run_shell("fish", "--no-config", "-c", script, HOME=str(folder))


def zsh(share, command, begun, expected, folder):
    """Completes where a person would see it: zsh has no other way."""
    functions = f"{share}/zsh/vendor-completions"
    setup = f"PS1='ready> '\nfpath=({functions} $fpath)\nautoload -Uz compinit\ncompinit -u -d {folder}/dump\n"
    (folder / ".zshrc").write_text(setup)
    child, terminal = pty.fork()
    if child == 0:
        names = {"TERM": "dumb", "HOME": str(folder), "ZDOTDIR": str(folder)}
        os.execvpe("zsh", ["zsh", "-o", "no_global_rcs", "-i"], {**os.environ, **names})
    try:
        until(terminal, lambda seen: "ready> " in seen)
        os.write(terminal, f"{command} {begun}\t".encode())
        # More than was typed: the rest is zsh's, in as many pieces as it likes.
        return until(terminal, lambda seen: re.search(rf"{command} {begun}\S+", seen) and expected in seen)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


COMPLETED = {"bash": bash, "zsh": zsh, "fish": fish}


def run_shell(*words, **names):
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, env={**os.environ, **names})
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def until(terminal, holds, seconds=20):
    """What a terminal shows, until it holds."""
    seen, end = "", time.monotonic() + seconds
    while not holds(seen):
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"not within {seconds} s: {seen!r}"
        seen += os.read(terminal, 65536).decode(errors="replace")
    return seen


def test_every_file_is_where_its_reader_looks(system):
    listed = system.run("dpkg-query", "--listfiles", "gatehouse").stdout.split("\n")
    for name in (
        "/usr/lib/systemd/system/gatehouse-gateway.service", "/usr/lib/systemd/system/gatehouse-chat.socket",
        "/usr/lib/sysusers.d/gatehouse.conf", "/usr/lib/tmpfiles.d/gatehouse.conf", "/etc/logrotate.d/gatehouse",
        "/usr/share/doc/gatehouse/README.md", "/usr/share/doc/gatehouse/changelog.gz", "/usr/share/doc/gatehouse/copyright",
        "/usr/share/doc/gatehouse/docs/install.md", "/usr/share/doc/gatehouse/gatehouse.cdx.json.gz",
    ):
        assert name in listed, name
    assert system.run("dpkg", "--verify", "gatehouse").stdout == ""


def test_documents_lead_to_documents(system):
    """Each relative link of each page, to a file of the package or, as the licence, of Debian."""
    folder = system.path("usr/share/doc/gatehouse")
    pages = sorted(folder.rglob("*.md"))
    assert {"README.md", "docs/clients.md", "docs/wire.md", "docs/decisions/README.md"} <= {str(page.relative_to(folder)) for page in pages}
    lost, found = [], 0
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if re.match(r"[a-z]+:|#", target):
                continue
            found += 1
            place = page.parent / target.split("#")[0]
            if not place.exists() or not place.resolve().is_relative_to(system.path("usr/share").resolve()):
                lost.append(f"{page.relative_to(folder)}: {target}")
    assert lost == [] and found > 30, lost


def test_an_upgrade_keeps_what_the_operator_has(system, packages):
    mine = system.path(CONFIG).read_text() + "# mine\n"
    system.path(CONFIG).write_text(mine)
    for name in ("etc/gatehouse/chat.key", "var/lib/gatehouse-chat/chats.sqlite", "var/lib/gatehouse/api.key", "var/log/gatehouse/audit.jsonl"):
        system.path(name).parent.mkdir(parents=True, exist_ok=True)
        system.path(name).write_text("kept")
    system.install(packages.later)
    assert system.state() == "install ok installed 999.0.0-1"
    assert system.path(CONFIG).read_text() == mine
    assert system.path("var/lib/gatehouse-chat/chats.sqlite").read_text() == "kept"


def test_a_new_default_configuration_does_not_overwrite_an_edited_one(system, packages, tmp_path):
    """Both sides changed: dpkg asks, and whoever answers "keep" keeps."""
    tree = tmp_path / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", packages.later, tree], check=True, timeout=60)
    (tree / CONFIG).write_text((tree / CONFIG).read_text() + "# new in this version\n")
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace("999.0.0-1", "999.0.1-1"))
    package = tmp_path / "changed.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, package], check=True, capture_output=True, timeout=60)
    mine = system.path(CONFIG).read_text()
    system.install(package, "--force-confold")
    assert system.path(CONFIG).read_text() == mine and mine.endswith("# mine\n")
    assert "new in this version" in system.path(CONFIG + ".dpkg-dist").read_text()


def test_a_removal_keeps_data_and_a_purge_deletes_it(system):
    """Last on this system, because it takes the package away."""
    kept = (CONFIG, "etc/gatehouse/chat.key", "var/lib/gatehouse-chat/chats.sqlite", "var/lib/gatehouse/api.key", "var/log/gatehouse/audit.jsonl")
    system.run("dpkg", "--remove", "gatehouse")
    assert system.state().startswith("deinstall ok config-files")
    assert not system.path("usr/bin/gatehouse").exists() and all(system.path(name).exists() for name in kept)
    system.run("dpkg", "--purge", "gatehouse")
    assert system.state() == ""
    for name in (*kept, "etc/gatehouse", "var/lib/gatehouse", "var/lib/gatehouse-chat", "var/lib/gatehouse-edge", "var/log/gatehouse", "etc/logrotate.d/gatehouse"):
        assert not system.path(name).exists(), name
    # Numbers that were theirs must not become somebody else's.
    assert system.run("getent", "passwd", "gatehouse").returncode == 0


def test_lintian_has_nothing_to_say(packages):
    """Errors fail, and so do warnings: those that have a reason are overridden with it in the package."""
    done = subprocess.run(["lintian", "--fail-on", "error,warning", packages.first], capture_output=True, text=True, timeout=120)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line[:2] in ("E:", "W:")]
    assert done.returncode == 0 and said == [], done.stdout + done.stderr


def test_two_builds_of_one_tree_are_the_same_package(packages, tmp_path):
    again = xtask("deb", "--binary", BINARY, "--into", tmp_path).strip().splitlines()[-1]
    with open(again, "rb") as one, open(packages.first, "rb") as other:
        assert one.read() == other.read()


def test_the_bill_of_materials_is_one(packages):
    """By CycloneDX's own schema, and by what is known to be inside."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = packages.bill.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    bill = json.loads(text)
    assert bill["metadata"]["component"]["name"] == "gatehouse"
    names = {component["name"] for component in bill["components"]}
    assert {"hyper", "rustls", "ring", "sqlite", "llama.cpp", "svelte", "gateway", "wire"} <= names
    # What only tests and builds use does not travel.
    assert not {"proptest", "insta", "xtask", "bench", "vite", "typescript"} & names
    known = {component["purl"] for component in bill["components"]} | {bill["metadata"]["component"]["purl"]}
    for row in bill["dependencies"]:
        assert {row["ref"], *row["dependsOn"]} <= known
    # Whatever was downloaded has the digest that the lock file holds it to.
    lock = (ROOT / "Cargo.lock").read_text()
    for component in bill["components"]:
        assert component.get("licenses"), component["name"]
        if component["purl"].startswith("pkg:cargo/") and "hashes" in component:
            assert component["hashes"][0]["content"] in lock


def test_other_peoples_licences_travel_with_their_code(packages):
    text = packages.notices.read_text()
    bill = json.loads(packages.bill.read_text())
    ours = {"gateway", "wire", "store", "engine"}
    for component in bill["components"]:
        if component["name"] not in ours | {"sqlite", "llama.cpp"}:
            assert f"{component['name']} {component['version']}: " in text
    assert text.count("Permission is hereby granted") > 10


def test_the_tarball_is_an_installation(tmp_path):
    """Unpacked into a prefix it is the program with its units, pages and completions; units call it there."""
    made = xtask("tarball", "--binary", BINARY, "--into", tmp_path).strip().splitlines()[-1]
    with tarfile.open(made) as archive:
        members = archive.getmembers()
        assert all(member.uid == 0 and member.gid == 0 for member in members)
        archive.extractall(tmp_path / "prefix", filter="tar")
    (prefix,) = (tmp_path / "prefix").iterdir()
    said = subprocess.run([prefix / "bin/gatehouse", "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("gatehouse ")
    assert all(os.readlink(prefix / "bin" / link) == "gatehouse" for link in LINKS)
    unit = (prefix / "lib/systemd/system/gatehouse-gateway.service").read_text()
    assert "ExecStart=/usr/local/bin/gatehouse gateway" in unit and "/usr/bin/gatehouse" not in unit
    page = gzip.decompress((prefix / "share/man/man1/gatehouse.1.gz").read_bytes()).decode()
    assert ".SH NAME" in page
    needs = (prefix / "share/doc/gatehouse/NEEDS").read_text()
    assert re.search(r"needs (glibc \d+\.\d+ or newer|no C library of the system)", needs)
    for name in ("share/gatehouse/etc/gatehouse/gatehouse.yaml", "share/zsh/site-functions/_gatehouse", "share/doc/gatehouse/LICENSE", "share/doc/gatehouse/docs/install.md"):
        assert (prefix / name).exists(), name
