/**
 * `show member`: one member, why it is what it is, and what its monitor saw.
 *
 * Invariant: as `show`; what failed last stands first.
 */
import type { Command } from 'commander';
import type { FindingRow, MemberDetail, MemberSetup } from '../api/contract.js';
import { examples } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { CliError, EXIT } from './exit-codes.js';
import {
  bitsPerSecond,
  clean,
  duration,
  paint,
  perSecond,
  plural,
  readable,
  state,
  timestamp,
} from './format.js';
import { memberPath } from './member-path.js';
import { proxyLines, type Line } from './proxy-text.js';
import { setupText } from './member-setup.js';

interface Options {
  readonly setup?: boolean;
  readonly undo?: boolean;
}

export function addMember(show: Command, context: Context): void {
  show
    .command('member')
    .summary('one member: state, response times, what failed and when')
    .description(
      'Shows one member: state and why, next hop, traffic, what its monitor measures, and the\n' +
        'last changes and failures with their times. With --setup instead the commands that a\n' +
        'Linux member needs for the services of its pool, as a shell script.',
    )
    .argument('<pool>', 'name of the pool')
    .argument('<member>', 'ADDRESS:PORT, with IPv6 as [ADDRESS]:PORT')
    .option('--setup', 'the commands that a Linux member needs, and what to check')
    .option('--undo', 'with --setup: the commands that take it back')
    .addHelpText(
      'after',
      examples(
        ['weir show member web 10.0.1.11:8080', 'why is it down, and since when?'],
        ['weir show member web 10.0.1.11:8080 --setup', 'what must be set at the member?'],
        ['weir show member web 10.0.1.11:8080 --setup | ssh root@10.0.1.11 sh', 'set it'],
      ),
    )
    .action(async (pool: string, member: string, options: Options, command: Command) => {
      const path = await memberPath(pool, member);
      if (options.undo === true && options.setup !== true) {
        throw new CliError(EXIT.usage, '--undo goes with --setup: give both.');
      }
      if (options.setup === true) {
        const setup = await clientOf(command, context).json<MemberSetup>({ path: `${path}/setup` });
        const direction = options.undo === true ? 'undo' : 'setup';
        await answer(command, context, setup, () => setupText(setup, direction));
        return;
      }
      const detail = await clientOf(command, context).json<MemberDetail>({ path });
      await answer(command, context, detail, () => memberText(context, detail));
    });
}

/** As it stands in connection ids. */
function quicId(id: number): string {
  return `${id} (0x${id.toString(16).padStart(4, '0')})`;
}

export function memberText(context: Context, detail: MemberDetail): string {
  const { look } = context;
  const word = state(detail.state);
  const lines: Line[] = [
    ['Reason', detail.reason],
    ['Since', `${timestamp(detail.since)} (${duration(context.now() - detail.since)})`],
    ['Weight', String(detail.weight)],
    ['Next hop', nextHop(detail)],
    ...(detail.proxy ? proxyLines(detail.proxy) : []),
    ...(detail.proxy && detail.totals.packets === 0
      ? []
      : ([['Traffic', traffic(detail)]] satisfies Line[])),
    ...(detail.quicServerId === null
      ? []
      : ([['QUIC id', quicId(detail.quicServerId)]] satisfies Line[])),
    ...monitorLines(context, detail),
  ];
  const head = `${paint(look, 'bold', clean(`${detail.member} of pool ${detail.pool}`))}  ${paint(look, word.colour, word.text(look))}\n`;
  const body = lines.map(([name, value]) => `  ${name.padEnd(9)} ${clean(value)}\n`);
  return head + body.join('') + findingText(context, detail.findings);
}

function nextHop({ nextHop: hop, nextHopProblem }: MemberDetail): string {
  return hop === null
    ? (nextHopProblem ?? 'as the kernel routes')
    : `${hop.mac} on ${hop.interface}`;
}

function traffic({ rates }: MemberDetail): string {
  return `${perSecond(rates.flowsPerSecond)} flows, ${perSecond(rates.packetsPerSecond)} packets, ${bitsPerSecond(rates.bitsPerSecond)}`;
}

function monitorLines(context: Context, detail: MemberDetail): Line[] {
  const { health } = detail;
  if (health === null) return [['Monitor', 'none']];
  const probed =
    health.lastProbe === null
      ? 'not probed yet'
      : `last probe ${duration(context.now() - health.lastProbe)} ago`;
  const lines: Line[] = [['Monitor', `${health.monitor}: ${health.reason}, ${probed}`]];
  if (health.responseTimeUs !== null) {
    const last = detail.latenciesMs.map(milliseconds).join(' ');
    lines.push([
      'Response',
      `${milliseconds(health.responseTimeUs / 1000)} ms on average; last ${last}`,
    ]);
  }
  if (health.agent !== null) lines.push(['Agent', agentText(health.agent)]);
  const { peerSees: peer } = detail;
  if (peer !== null) {
    const since = duration(context.now() - peer.since);
    lines.push(['Peer', `the other unit sees it ${peer.state.toUpperCase()}, known for ${since}`]);
  }
  const shared = detail.probeSharedWith;
  if (shared.length > 0) lines.push(['Shared', `the same probe speaks for ${names(shared)}`]);
  return lines;
}

function agentText(agent: NonNullable<NonNullable<MemberDetail['health']>['agent']>): string {
  return [
    agent.state,
    ...(agent.weightPercent === null ? [] : [`${agent.weightPercent}% of its weight`]),
    ...(agent.cpuPercent === null ? [] : [`CPU ${agent.cpuPercent}%`]),
    ...(agent.maxConnections === null ? [] : [`at most ${agent.maxConnections} connections`]),
  ].join(', ');
}

const NAMED = 3;

function names(list: readonly string[]): string {
  const more = list.length > NAMED ? ` and ${plural(list.length - NAMED, 'other')}` : '';
  return list.slice(0, NAMED).join(', ') + more;
}

function findingText(context: Context, findings: readonly FindingRow[]): string {
  if (findings.length === 0) return '  History   nothing failed and nothing changed so far\n';
  const lines = findings.map((one) => {
    const again = one.count === 1 ? '' : ` (${one.count} ×, last ${timestamp(one.last)})`;
    const text = `${timestamp(one.time)}  ${clean(one.text)}${readable(context.look, again)}`;
    return `    ${one.kind === 'change' ? text : paint(context.look, 'yellow', text)}\n`;
  });
  return `  History\n${lines.join('')}`;
}

function milliseconds(value: number): string {
  return value.toFixed(value < 10 ? 2 : 0);
}
