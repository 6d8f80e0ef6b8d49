/**
 * The machine and its network cards as people read them. Pure.
 *
 * Invariant: every check that is not as it should be is shown with its reason, whatever the width,
 * and a command stands on a line of its own, to be copied.
 */
import type { HardwareCheck, HardwareInterface, HardwareReport } from '../api/contract.js';
import type { Context } from './context.js';
import { clean, paint, plural, type Colour } from './format.js';

const GIB = 2 ** 30;

export function hardwareText(context: Pick<Context, 'look'>, report: HardwareReport): string {
  const { machine, tables, interfaces } = report;
  const head = block(context, 'Machine', [
    ['CPU', `${machine.cpu}, ${plural(machine.cores, 'core')}`],
    ['Memory', `${(machine.memoryBytes / GIB).toFixed(1)} GiB`],
    ['Kernel', `${machine.kernel}, ${machine.btf ? 'with BTF' : 'without BTF'}`],
    ['libbpf', machine.libbpf],
    ['Tables', `${tables.flows} flows, ${tables.lookupChunks} lookup chunks: ${tables.why}`],
  ]);
  if (interfaces.length === 0) return `${head}\nNo interface could carry traffic.\n`;
  return [head, ...interfaces.map((one) => interfaceText(context, one))].join('\n');
}

function block(
  context: Pick<Context, 'look'>,
  title: string,
  lines: readonly (readonly [name: string, value: string])[],
): string {
  const body = lines.map(([name, value]) => `  ${name.padEnd(9)}${clean(value)}\n`);
  return `${paint(context.look, 'bold', clean(title))}\n${body.join('')}`;
}

function interfaceText(context: Pick<Context, 'look'>, one: HardwareInterface): string {
  const lines: [string, string][] = [
    ['Link', linkText(one)],
    ['Driver', driverText(one)],
    ['Profile', `${one.profile} (${one.title}): ${one.matched}`],
    ['XDP', xdpText(one)],
  ];
  if (one.bond !== null) {
    const { mode, hashPolicy, ports } = one.bond;
    lines.push(['Bond', `${mode}, hash ${hashPolicy}, ports ${ports.join(', ') || 'none'}`]);
  }
  if (one.carrier !== null) {
    const tags = one.vlan.map((id) => ` vlan ${id}`).join('');
    lines.push(['Carrier', `${one.carrier}${tags}`]);
  }
  if (one.offload !== null) lines.push(['Offload', one.offload]);
  const checks = one.checks.map((check) => checkText(context, check));
  const quirks = one.quirks.map((quirk) => `  note     ${clean(quirk)}\n`);
  return block(context, one.name, lines) + checks.join('') + quirks.join('');
}

function linkText({ up, running, speed, mtu }: HardwareInterface): string {
  const state = running ? 'up' : up ? 'up, no carrier' : 'down';
  const rate = speed === null ? 'speed not known' : `${speed} Mbit/s`;
  return `${state}, ${rate}, MTU ${mtu}`;
}

function driverText({ driver, version, firmware, bus }: HardwareInterface): string {
  if (driver === '') return 'none that says its name';
  const more = [
    ['bus', bus],
    ['firmware', firmware],
  ].map(([name, value]) => (value === '' || value === 'N/A' ? '' : `, ${name} ${value}`));
  return `${driver} ${version}`.trim() + more.join('');
}

function xdpText({ mode, why, modes }: HardwareInterface): string {
  return `${mode ?? 'not attached'} (the profile knows ${modes.join(', ')}): ${why}`;
}

const MARKS: Readonly<Record<HardwareCheck['state'], readonly [word: string, colour: Colour]>> = {
  ok: ['ok', 'green'],
  change: ['CHANGE', 'yellow'],
  unknown: ['look', 'dim'],
};

function checkText(context: Pick<Context, 'look'>, check: HardwareCheck): string {
  // A newer daemon may know a state that this client does not.
  const known: readonly [string, Colour] | undefined = MARKS[check.state];
  const [word, colour] = known ?? [check.state, 'bold'];
  const mark = paint(context.look, colour, clean(word).padEnd(9));
  const { subject, now, wanted, why, command } = check;
  if (check.state === 'ok') return `  ${mark}${clean(`${subject}: ${now}`)}\n`;
  const line = `  ${mark}${clean(`${subject}: ${now}, should be ${wanted}. ${why}`)}\n`;
  return command === null ? line : `${line}${' '.repeat(11)}${clean(command)}\n`;
}
