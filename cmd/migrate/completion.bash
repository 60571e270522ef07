# bash completion for migrate: source <(migrate completion bash)
_migrate() {
  local cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]:0:COMP_CWORD}") opts
  if [[ $cur == -* ]]; then
    words+=("$cur")
  fi
  opts=$("${words[@]}" --generate-bash-completion 2>/dev/null)
  mapfile -t COMPREPLY < <(compgen -W "$opts" -- "$cur")
}
complete -o bashdefault -o default -F _migrate migrate
