/**
 * `show member --setup`: the commands that a Linux member needs, as a shell script.
 *
 * Invariant: whatever is no command is a comment, so that the output can be given to a shell as
 * it stands.
 */
import type { MemberSetup, SetupCommand } from '../api/contract.js';
import { clean } from './format.js';

export type Direction = 'setup' | 'undo';

const WIDTH = 92;

export function setupText(setup: MemberSetup, direction: Direction): string {
  const what = direction === 'setup' ? 'Sets up' : 'Takes back the setup of';
  const lines = [
    ...comment(`${what} the Linux member ${setup.member} of pool ${setup.pool}. Run as root.`),
    ...setup.services.flatMap((service) =>
      comment(
        `- ${service.name}: ${service.address} ${service.port}/${service.protocol}, ${forwardingText(service)}`,
      ),
    ),
    ...(direction === 'setup' ? setupLines(setup) : undoLines(setup)),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function forwardingText(service: MemberSetup['services'][number]): string {
  if (service.forwarding !== 'tunnel') return service.forwarding;
  return service.guePort === 0 ? 'tunnel (IP in IP)' : `tunnel (GUE, port ${service.guePort})`;
}

function setupLines({ commands, checks }: MemberSetup): string[] {
  return [
    ...commands.flatMap((one) => ['', ...comment(reason(one)), one.command]),
    ...(checks.length === 0 ? [] : ['', '# To check:']),
    ...checks.flatMap((check) => comment(`- ${check}`)),
  ];
}

function undoLines({ commands }: MemberSetup): string[] {
  const all = [...commands].reverse();
  const undone = all.flatMap(({ undo }) => (undo === null ? [] : [undo]));
  // A device takes its own settings along.
  const left = all.filter(({ command, undo }) => undo === null && !/ up$|weir-/.test(command));
  return [
    ...(undone.length === 0 ? [] : ['']),
    ...undone,
    ...(left.length === 0
      ? []
      : ['', '# As they were before is known to you alone; these were set:']),
    ...left.flatMap(({ command }) => comment(`- ${command}`)),
  ];
}

function reason({ why, services }: SetupCommand): string {
  return `${services.join(', ')}: ${why}`;
}

/** As lines that no shell executes, broken between words. */
function comment(text: string): string[] {
  const lines: string[] = [];
  let line = '#';
  for (const word of clean(text).split(/\s+/)) {
    if (line.length + 1 + word.length > WIDTH && line.trim() !== '#') {
      lines.push(line);
      line = '#  ';
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
