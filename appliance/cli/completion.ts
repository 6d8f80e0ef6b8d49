/**
 * `completion`: scripts for bash, zsh and fish; and the hidden `__complete` that they
 * ask at each Tab with the line up to the cursor.
 *
 * Invariant: the scripts know nothing of the commands, so they never grow stale: all
 * knowledge is in `__complete`. It answers `WORD<TAB>DESCRIPTION` lines, or the word
 * `:files`.
 */
import { Argument, type Command } from 'commander';
import { examples } from './arguments.js';
import { Client } from './client.js';
import { complete, type NameSource, splitLine } from './complete.js';
import { socketOf, type Context } from './context.js';
import { secretFor } from './session-file.js';
import { clean } from './format.js';

/** A Tab must not hang longer than people wait for one. */
const PATIENCE_MS = 1500;

const BASH = `# bash completion of weir: source this file, or put it in /etc/bash_completion.d/
_weir() {
  local line=\${COMP_LINE:0:COMP_POINT} current prefix='' candidate rest
  current=\${line##*[[:space:]]}
  # Readline breaks words at ':' and '=', so only what follows the last one is replaced.
  if [[ $current == *[:=]* && $COMP_WORDBREAKS == *[:=]* ]]; then
    prefix=\${current%"\${current##*[:=]}"}
  fi
  COMPREPLY=()
  while IFS=$'\\t' read -r candidate rest; do
    if [[ $candidate == :files ]]; then
      compopt -o default 2>/dev/null
      return
    fi
    COMPREPLY+=("\${candidate#"$prefix"}")
  done < <("$1" __complete -- "$line" 2>/dev/null)
}
complete -F _weir weir
`;

const ZSH = `#compdef weir
# zsh completion of weir: put this file as _weir into a folder of $fpath
_weir() {
  local -a words_ descriptions
  local candidate description
  while IFS=$'\\t' read -r candidate description; do
    if [[ $candidate == :files ]]; then
      _files
      return
    fi
    words_+=("$candidate")
    descriptions+=("$candidate  $description")
  done < <("\${words[1]}" __complete -- "\${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)
  (( \${#words_} )) && compadd -l -d descriptions -a words_
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _weir "$@"
else
  compdef _weir weir
fi
`;

const FISH = `# fish completion of weir: put this file into ~/.config/fish/completions/
function __weir_complete
    set -l candidates (command weir __complete -- (commandline -cp) 2>/dev/null)
    if test "$candidates[1]" = ':files'
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $candidates
    end
end
complete -c weir -f -a '(__weir_complete)'
`;

const SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH } as const;
type Shell = keyof typeof SCRIPTS;

export function addCompletionCommands(program: Command, context: Context): void {
  program
    .command('completion')
    .summary('print a completion script for a shell')
    .description(
      'Prints a script that makes the Tab key complete commands, options, pools, members and revisions.',
    )
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(SCRIPTS)))
    .addHelpText(
      'after',
      examples(
        ['source <(weir completion bash)', 'for this session of bash'],
        ['weir completion bash > /etc/bash_completion.d/weir', 'for everybody'],
        ['weir completion zsh > /usr/local/share/zsh/site-functions/_weir', 'zsh'],
        ['weir completion fish > ~/.config/fish/completions/weir.fish', 'fish'],
      ),
    )
    .action((shell: Shell) => context.out(SCRIPTS[shell]));

  program
    .command('__complete', { hidden: true })
    .argument('<line>')
    .action(async (line: string) => {
      const [, ...words] = splitLine(line);
      const candidates = await complete(program, words, (socket) => daemonNames(socket, context));
      // Descriptions come from others: no tab, no line break, nothing for the terminal.
      const lines = candidates.map(({ word, description }) =>
        `${clean(word)}\t${clean(description)}`.trimEnd(),
      );
      context.out(lines.map((text) => `${text}\n`).join(''));
    });
}

function daemonNames(socket: string | undefined, context: Context): NameSource {
  const path = socket ?? socketOf(context);
  const client = new Client(path, PATIENCE_MS);
  client.secret = secretFor(context, path);
  return {
    services: () => client.json({ path: '/v1/services' }),
    pools: () => client.json({ path: '/v1/pools' }),
    members: (pool) => client.json({ path: '/v1/members', query: { pool } }),
    certificates: () => client.json({ path: '/v1/certificates' }),
    revisions: () => client.json({ path: '/v1/revisions', query: { limit: 50 } }),
  };
}
