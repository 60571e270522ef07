#compdef migrate
# zsh completion for migrate: source <(migrate completion zsh)
_migrate() {
  local -a words_so_far opts
  words_so_far=(${words[1,CURRENT-1]})
  if [[ ${words[CURRENT]} == -* ]]; then
    words_so_far+=(${words[CURRENT]})
  fi
  opts=("${(@f)$(${words_so_far} --generate-bash-completion 2>/dev/null)}")
  _describe 'migrate' opts
}
compdef _migrate migrate
