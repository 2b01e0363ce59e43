# bash completion for polyvisor, by what the program itself knows of its commands and options.
_polyvisor() {
  local line kind
  while IFS= read -r line; do
    kind=${line%%,*}
    case $kind in
      plain) COMPREPLY+=("${line#*,}") ;;
      file) compopt -o default ;;
      dir) compopt -o dirnames ;;
    esac
  done < <(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _POLYVISOR_COMPLETE=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F _polyvisor polyvisor
