/**
 * The configuration language without a daemon: `lint`, `schema`, `reference`.
 *
 * Invariant: these need no socket and no root; what they say of a document is what
 * the daemon of the same build says, because it is the same code.
 */
import type { Command } from 'commander';
import type { ConfigError, ErrorBody } from '../api/contract.js';
import { formatConfigError } from '../config/errors.js';
import { examples } from './arguments.js';
import { answer, type Context, wantsJson } from './context.js';
import { documentProblem, readDocument } from './document-file.js';
import { EXIT, refusal } from './exit-codes.js';
import { clean, paint, plural } from './format.js';

/** What `lint --json` prints. */
export interface LintResult {
  readonly valid: boolean;
  readonly errors: readonly ConfigError[];
  /** Allowed, and probably not what was meant. */
  readonly warnings: readonly ConfigError[];
  /** Valid, but this build cannot execute it: `apply` would refuse it. */
  readonly notes: readonly ConfigError[];
}

export function addLanguageCommands(program: Command, context: Context): void {
  program
    .command('lint')
    .summary('check a document, without a daemon')
    .description(
      'Checks a document without a daemon. Exit status 0 when it is valid, 4 when it is not.\n' +
        'What is valid but cannot be executed by this build is printed as a note.',
    )
    .argument('<file>', "the document (YAML or JSON), '-' for stdin")
    .addHelpText(
      'after',
      examples(
        ['weir lint weir.yaml', 'before a commit'],
        ['weir lint weir.yaml --json', 'for an editor'],
      ),
    )
    .action(async (path: string, _options: object, command: Command) => {
      await lint(path, command, context);
    });

  program
    .command('schema')
    .summary('print the JSON Schema of the language')
    .description(
      'Prints the JSON Schema of the configuration language, which editors use for checks and completion.',
    )
    .addHelpText('after', examples(['weir schema > weir.schema.json', 'name it in your editor']))
    .action(async () => {
      const { jsonSchema } = await import('../config/reference.js');
      context.out(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
    });

  program
    .command('reference')
    .summary('print the reference of the language')
    .description(
      'Prints the reference of the configuration language: every key, its values and its default.',
    )
    .addHelpText('after', examples(['weir reference | less', 'read it']))
    .action(async () => {
      const { markdownReference } = await import('../config/reference.js');
      context.out(markdownReference());
    });
}

async function lint(path: string, command: Command, context: Context): Promise<void> {
  const document = await readDocument(path);
  // Loaded here and not above: the language takes longer to load than all the rest.
  const { parseText, placeErrors } = await import('../config/document.js');
  const { fileKeys, firstSliceCapabilities, networkKeys, unsupported } =
    await import('../config/support.js');
  const parsed = parseText(document.text);
  if (!parsed.ok) {
    const result: LintResult = { valid: false, errors: parsed.errors, warnings: [], notes: [] };
    if (wantsJson(command)) {
      context.out(`${JSON.stringify(result, null, 2)}\n`);
      process.exitCode = EXIT.invalid;
      return;
    }
    const code = parsed.errors.some((error) => error.code === 'syntax') ? 'syntax' : 'invalid';
    const message = `${document.name} is not valid: ${plural(parsed.errors.length, 'error')}.`;
    const body: ErrorBody = { error: { code, message, details: parsed.errors } };
    throw refusal(body, documentProblem(document.name, body));
  }
  // Whether the host is Weir's to set, only a daemon knows.
  const capabilities = { ...firstSliceCapabilities, host: [...networkKeys, ...fileKeys] };
  const notes = placeErrors(document.text, unsupported(parsed.intent, capabilities));
  const result: LintResult = { valid: true, errors: [], warnings: parsed.warnings, notes };
  await answer(command, context, result, () => lintText(context, document.name, result));
}

function lintText(context: Context, name: string, { warnings, notes }: LintResult): string {
  const lines = [
    ...warnings.map((warning) => line(context, 'warning', name, warning)),
    ...notes.map((note) => line(context, 'note', name, note)),
  ];
  const summary =
    notes.length === 0
      ? `${name} is valid.`
      : `${name} is valid, but this build cannot execute ${notes.length === 1 ? 'one part' : `${notes.length} parts`} of it: 'weir apply' would refuse it.`;
  return [...lines, summary].map((text) => `${text}\n`).join('');
}

function line(
  context: Context,
  kind: 'warning' | 'note',
  name: string,
  error: ConfigError,
): string {
  return `${paint(context.look, 'yellow', `${kind}:`)} ${clean(formatConfigError({ ...error, file: name }))}`;
}
