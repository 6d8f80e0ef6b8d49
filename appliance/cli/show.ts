/**
 * `show …`: what the unit is doing, as tables for people.
 *
 * Invariant: a table shows what the API answered and computes nothing of its own but
 * ages and units; `--json` prints that answer as it came.
 */
import type { Command } from 'commander';
import type {
  Counters,
  FlowRow,
  MemberRow,
  PoolDetail,
  PoolRow,
  ServiceRow,
  TierRow,
} from '../api/contract.js';
import { examples, wholeNumber } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import {
  counterText,
  flowColumns,
  memberColumns,
  poolColumns,
  poolText,
  serviceColumns,
  tierText,
} from './show-tables.js';
import { addDrops } from './show-drops.js';
import { addEvents, followCounters } from './show-events.js';
import { addMember } from './show-member.js';
import { addNetwork } from './show-network.js';
import { addRouters } from './show-routers.js';
import { addRoutes, addService, addWorkers } from './show-proxy.js';
import { addTraffic } from './show-traffic.js';
import { table, type Column } from './table.js';

export function addShowCommands(program: Command, context: Context): void {
  const show = program
    .command('show')
    .helpCommand(false)
    .summary('what the unit is doing')
    .description(
      'Shows services, pools, members, routes, workers, routers, flows, events, drops, traffic, tiers, counters and the network.',
    )
    .addHelpText(
      'after',
      examples(
        ['weir show services', 'which tier serves what, how much'],
        ['weir show members --pool web', 'state, reason and traffic of each'],
        ['weir show member web 10.0.1.11:8080', 'one, with what failed and when'],
        ['weir show events --follow', 'as they happen'],
        ['weir show services --json', 'for programs'],
      ),
    );

  show
    .command('services')
    .summary('services, their tier and traffic')
    .description(
      'Lists the services: which tier serves each and why, members that serve, and traffic.',
    )
    .option(...WIDE)
    .addHelpText(
      'after',
      examples(
        ['weir show services', 'all of them'],
        ['weir show services --wide', 'with totals, and why this tier'],
      ),
    )
    .action(async ({ wide }: WideOption, command: Command) => {
      const rows = await clientOf(command, context).json<ServiceRow[]>({ path: '/v1/services' });
      await answer(command, context, rows, () =>
        wideTable(context, wide, rows, serviceColumns(context, rows), 'No services.'),
      );
    });

  addService(show, context);

  show
    .command('pools')
    .summary('pools and how many members serve')
    .description('Lists the pools: algorithm, monitor, members by state, and traffic.')
    .option(...WIDE)
    .addHelpText('after', examples(['weir show pools', 'all of them']))
    .action(async ({ wide }: WideOption, command: Command) => {
      const rows = await clientOf(command, context).json<PoolRow[]>({ path: '/v1/pools' });
      await answer(command, context, rows, () =>
        wideTable(context, wide, rows, poolColumns(rows), 'No pools.'),
      );
    });

  show
    .command('pool')
    .argument('<pool>', 'name of the pool')
    .summary('one pool: its members, and what happens when they are down')
    .description(
      'Shows one pool: how it is off and why, what happens to new flows when too few members\n' +
        'serve, and its members with the weight of the document and the one used now.',
    )
    .option(...WIDE)
    .addHelpText('after', examples(['weir show pool web', 'who serves, and what if nobody can?']))
    .action(async (name: string, { wide }: WideOption, command: Command) => {
      const pool = await clientOf(command, context).json<PoolDetail>({
        path: `/v1/pools/${encodeURIComponent(name)}`,
      });
      await answer(command, context, pool, () => poolText(context, pool, wide === true));
    });

  show
    .command('members')
    .summary('members: state, reason, health, next hop')
    .description('Lists the members: state and why, since when, health, next hop, and traffic.')
    .option('--pool <pool>', 'only those of this pool')
    .option(...WIDE)
    .addHelpText(
      'after',
      examples(
        ['weir show members', 'of all pools'],
        ['weir show members --pool web --wide', 'of one, with health, next hop and totals'],
      ),
    )
    .action(async ({ pool, wide }: WideOption & { readonly pool?: string }, command: Command) => {
      const rows = await clientOf(command, context).json<MemberRow[]>({
        path: '/v1/members',
        query: { pool },
      });
      await answer(command, context, rows, () =>
        wideTable(context, wide, rows, memberColumns(context, rows), 'No members.'),
      );
    });

  addMember(show, context);
  addRoutes(show, context);
  addWorkers(show, context);
  addRouters(show, context);
  addNetwork(show, context);
  addFlows(show, context);
  addEvents(show, context);
  addDrops(show, context);
  addTraffic(show, context);

  show
    .command('tiers')
    .summary('what executes the tables: mode, profile, table usage')
    .description(
      'Shows each tier on each interface: mode and why, firmware profile, program, table usage.',
    )
    .addHelpText('after', examples(['weir show tiers', 'native or generic, and why?']))
    .action(async (_options: object, command: Command) => {
      const rows = await clientOf(command, context).json<TierRow[]>({ path: '/v1/tiers' });
      await answer(command, context, rows, () => tierText(context, rows));
    });

  show
    .command('counters')
    .summary('totals, and drops by reason')
    .description('Shows what the fast path counted: totals, drops by reason, and each service.')
    .option('--follow', 'a line each second instead, until interrupted')
    .addHelpText(
      'after',
      examples(
        ['weir show counters', 'what was counted so far'],
        ['weir show counters --follow', 'what is being counted'],
      ),
    )
    .action(async ({ follow }: { follow?: boolean }, command: Command) => {
      if (follow === true) {
        await followCounters(command, context);
        return;
      }
      const counters = await clientOf(command, context).json<Counters>({ path: '/v1/counters' });
      await answer(command, context, counters, () => counterText(context, counters));
    });
}

const WIDE = ['--wide', 'every column in full, however wide the terminal is'] as const;

interface WideOption {
  readonly wide?: boolean;
}

function wideTable<Row>(
  context: Context,
  wide: boolean | undefined,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  empty: string,
): string {
  return table(rows, columns, context.look, { width: context.width, wide: wide === true }, empty);
}

interface FlowOptions {
  readonly limit: number;
  readonly service?: string;
  readonly member?: string;
}

function addFlows(show: Command, context: Context): void {
  show
    .command('flows')
    .summary('established flows')
    .description('Lists established flows of the fast path, in no order.')
    .option('--limit <number>', 'at most so many', wholeNumber(1, 100_000), 100)
    .option('--service <service>', 'only those of this service')
    .option('--member <member>', 'only those on this member, ADDRESS:PORT')
    .addHelpText(
      'after',
      examples(
        ['weir show flows --service dns --limit 20', 'some of one service'],
        ['weir show flows --member 10.0.1.11:8080', 'who is still on it?'],
      ),
    )
    .action(async (options: FlowOptions, command: Command) => {
      const { limit, service, member } = options;
      const rows = await clientOf(command, context).json<FlowRow[]>({
        path: '/v1/flows',
        query: { limit, service, member },
      });
      await answer(command, context, rows, () =>
        table(rows, flowColumns, context.look, { width: context.width }, 'No flows.'),
      );
      if (rows.length === limit) {
        context.err(`There may be more than these ${limit}: see --limit.\n`);
      }
    });
}
