/**
 * `set member`: the one change that is made by hand often enough for a command of
 * its own. It edits the configuration like every other change, as a revision.
 *
 * Invariant: there is no run-time state beside the configuration; what this sets is
 * what `export` prints.
 */
import { Argument, type Command } from 'commander';
import type { ApplyResult } from '../api/contract.js';
import { changeOptions, type ChangeOptions } from './apply.js';
import { examples, wholeNumber } from './arguments.js';
import { describeChange, warnOfChange } from './changes.js';
import { answer, clientOf, type Context } from './context.js';
import { namingErrorsOf } from './document-file.js';
import { CliError, EXIT } from './exit-codes.js';
import { memberPath } from './member-path.js';

const STATES = ['enabled', 'draining', 'disabled'] as const;

interface SetMemberOptions extends ChangeOptions {
  readonly weight?: number;
}

export function addSetCommands(program: Command, context: Context): void {
  const set = program
    .command('set')
    .helpCommand(false)
    .summary('change one thing')
    .description('Changes one thing, as a revision of its own.');
  changeOptions(
    set
      .command('member')
      .summary("set a member's state or weight")
      .description(
        "Sets a member's state, its weight, or both:\n" +
          '  enabled   takes new flows while its monitor finds it well\n' +
          '  draining  keeps its flows, takes no new ones\n' +
          '  disabled  takes nothing; its flows go to other members',
      )
      .argument('<pool>', 'name of the pool')
      .argument('<member>', 'ADDRESS:PORT, with IPv6 as [ADDRESS]:PORT')
      .addArgument(new Argument('[state]', 'the new state').choices(STATES))
      .option('--weight <number>', 'share of new flows, from 0 to 256', wholeNumber(0, 256)),
  )
    .addHelpText(
      'after',
      examples(
        ['weir set member web 10.0.1.11:8080 draining', 'take it out gently'],
        ['weir set member web [2001:db8::11]:8080 enabled', 'put it back'],
        ['weir set member web 10.0.1.11:8080 --weight 3', 'three times the flows'],
      ),
    )
    .action(
      async (
        pool: string,
        member: string,
        state: (typeof STATES)[number] | undefined,
        options: SetMemberOptions,
        command: Command,
      ) => {
        if (state === undefined && options.weight === undefined) {
          throw new CliError(
            EXIT.usage,
            `Say what to set: one of ${STATES.join(', ')}, or --weight N, or both.`,
          );
        }
        const path = await memberPath(pool, member);
        const result = await namingErrorsOf('configuration', () =>
          clientOf(command, context).json<ApplyResult>({
            method: 'PATCH',
            path,
            json: {
              state,
              weight: options.weight,
              comment: options.comment,
              'confirm-ms': options.confirm,
            },
            ifMatch: options.ifMatch,
          }),
        );
        await answer(command, context, result, (value) => describeChange(context, 'Set', value));
        warnOfChange(context, result);
      },
    );
}
