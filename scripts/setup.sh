# Sourced by the other scripts: makes .venv beside them and installs polyrl into it, once for each state of setup.py.
#   setup_environment ""     the package
#   setup_environment dev    the package with what the tests need
# With --help a script shows the comment at its top, and does nothing.
case " $* " in
    *" --help "* | *" -h "*)
        sed -n '2,${/^#/!q;s/^# \{0,1\}//p}' "scripts/$(basename "$0")"
        exit 0
        ;;
esac

setup_environment() {
    local extra="$1" python="${PYTHON:-python3}" stamp
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
        echo "polyrl needs Python 3.10 or newer, but '$python' is $("$python" --version 2>&1)." >&2
        echo "Name another one: PYTHON=python3.11 bash $0" >&2
        return 1
    fi
    if [ ! -x .venv/bin/python ]; then
        echo "Making .venv ..."
        if ! "$python" -m venv .venv; then
            rm -rf .venv
            echo "'$python -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2
            return 1
        fi
    fi
    stamp=".venv/.installed-${extra:-core}-$(cksum < setup.py | cut -d' ' -f1)"
    if [ ! -e "$stamp" ]; then
        echo "Installing polyrl${extra:+ with extra '$extra'} into .venv (a minute or two) ..."
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extra:+[$extra]}" || return 1
        touch "$stamp"
    fi
}
