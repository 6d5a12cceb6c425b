#!/bin/sh
# Generates man pages and shell completions:   board/install-pages.sh BINARY SHARE_FOLDER ZSH_FOLDER
# BINARY runs on this machine. ZSH_FOLDER is relative to SHARE_FOLDER, because it differs between Debian and /usr/local.
set -eu
binary=$1 share=$2 zsh=$3

# list_commands [COMMAND]: the commands of the program, or of a group of commands.
list_commands() { "$binary" "$@" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\)  .*/\1/p' | grep -vx help; }

commands=$(list_commands)
[ -n "$commands" ] || { echo "install-pages: $binary --help lists no commands" >&2; exit 1; }
install -d "$share/man/man1" "$share/bash-completion/completions" "$share/$zsh" "$share/fish/vendor_completions.d"
"$binary" man >"$share/man/man1/bike-edge.1"
for command in $commands; do
    "$binary" man "$command" >"$share/man/man1/bike-edge-$command.1"
    for inner in $(list_commands "$command"); do
        "$binary" man "$command" "$inner" >"$share/man/man1/bike-edge-$command-$inner.1"
    done
done
"$binary" completions bash >"$share/bash-completion/completions/bike-edge"
"$binary" completions zsh >"$share/$zsh/_bike-edge"
"$binary" completions fish >"$share/fish/vendor_completions.d/bike-edge.fish"
