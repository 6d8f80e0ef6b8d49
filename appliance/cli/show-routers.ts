/** `show routers`: which unit holds which addresses, and why. Invariant: as `show`. */
import type { Command } from 'commander';
import type { PairView, RouterLateness, RouterRow } from '../api/contract.js';
import { examples } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { clean, duration, type Colour } from './format.js';
import { table, type Column } from './table.js';

export function addRouters(show: Command, context: Context): void {
  show
    .command('routers')
    .summary('virtual routers: which addresses this unit holds')
    .description(
      'Lists the virtual routers of this unit: group, interface, id, role, priority now, since when,\n' +
        'the master that was heard last, why it has its role, and addresses. Routers of one group move\n' +
        'together. Even and odd are the shares of service addresses of a pair. The last line says by\n' +
        'which paths heartbeats of the other unit come (weir pair status).',
    )
    .option('--wide', 'every column in full, however wide the terminal is')
    .addHelpText(
      'after',
      examples(
        ['weir show routers', 'who holds what?'],
        ['weir show events --kind role-changed', 'what became of them'],
        ['weir pair failover --all', 'let the other unit have everything'],
      ),
    )
    .action(async ({ wide }: { readonly wide?: boolean }, command: Command) => {
      const client = clientOf(command, context);
      const rows = await client.json<RouterRow[]>({ path: '/v1/routers' });
      const pair = await client.json<PairView>({ path: '/v1/pair' });
      await answer(
        command,
        context,
        rows,
        () => routerText(context, rows, wide === true) + pathLine(pair),
      );
    });
}

export function routerText(context: Context, rows: readonly RouterRow[], wide: boolean): string {
  const none =
    'There are no virtual routers: this unit is alone, and holds its service addresses itself.';
  const text = table(rows, columns(context), context.look, { width: context.width, wide }, none);
  const line = latenessLine(rows[0]?.lateness ?? null);
  return line === null ? text : `${text}\n${line}`;
}

function latenessLine(lateness: RouterLateness | null): string | null {
  if (lateness === null || lateness.worst === null) return null;
  const { worst, leastLease } = lateness;
  const left =
    leastLease === null ? '' : `; ${leastLease.toFixed(1)} ms were left of its lease at least`;
  return `VRRP's process was ${worst.late.toFixed(1)} ms late at worst (${worst.part})${left}.`;
}

/** Nothing where no speaker listens. */
function pathLine({ peer, paths }: PairView): string {
  const known = paths.filter(({ heard }) => heard !== null);
  if (peer === null || known.length === 0) return '';
  const list = known.map((one) => `${one.interface} (${one.path})${one.heard ? '' : ' SILENT'}`);
  return `\nHeartbeats of ${clean(peer.name)}: ${list.join(', ')}\n`;
}

const COLOURS: Readonly<Record<RouterRow['role'], Colour | null>> = {
  master: 'green',
  backup: null,
  down: 'red',
};

function columns(context: Context): Column<RouterRow>[] {
  return [
    { title: 'ROUTER', value: ({ router }) => router, shrinkTo: 8 },
    { title: 'GROUP', value: ({ group }) => group, shrinkTo: 6, dispensable: 3 },
    { title: 'INTERFACE', value: (row) => row.interface },
    { title: 'ID', align: 'right', value: ({ id }) => String(id) },
    { title: 'ROLE', value: ({ role }) => role, colour: ({ role }) => COLOURS[role] },
    {
      title: 'PRIO',
      align: 'right',
      value: ({ priority }) => (priority === null ? '-' : String(priority)),
      colour: (row) =>
        row.priority !== null && row.priority < row.configuredPriority ? 'yellow' : null,
    },
    {
      title: 'SINCE',
      align: 'right',
      value: ({ since }) => (since === null ? '-' : duration(context.now() - since)),
    },
    {
      title: 'MASTER',
      value: ({ role, master }) =>
        role === 'master'
          ? 'this unit'
          : master === null
            ? '-'
            : `${master.address} (${master.priority})`,
    },
    { title: 'WHY', value: whyText, shrinkTo: 10, dispensable: 1 },
    {
      title: 'ADDRESSES',
      value: ({ addresses }) => addresses.join(' '),
      shrinkTo: 12,
      dispensable: 2,
    },
  ];
}

function whyText({ why, failover, unwell }: RouterRow): string {
  const more = [
    ...(failover ? ['failover was asked for'] : []),
    ...unwell.map((name) => `${name} not well`),
  ];
  return [why, ...more].join('; ');
}
