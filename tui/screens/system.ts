/** The unit itself: versions, processes, the machine and its cards, and why they are run as they are. */
import { hardwareText } from '../../appliance/cli/hardware-text.js';
import { duration, timestamp } from '../../appliance/cli/format.js';
import { upgradeFacts } from '../../appliance/cli/upgrade-text.js';
import { heading, span, type Line } from '../frame.js';
import { type Model } from '../model.js';
import { answerOf } from '../topics.js';
import { factLines, workerLines } from './tiers.js';
import { toldLines, toldTo } from './told.js';

const KEYS = 'b t backup, restore  N: network  A: who did what  U: users';
/** Where there is room; elsewhere ? has them. */
const MORE_KEYS = 'B: support bundle  P: power  E: erase';
const WIDE = 110;

export function systemScreen(model: Model, width: number): Line[] {
  const { look } = model;
  const status = answerOf(model, 'status').value;
  const upgrade = answerOf(model, 'upgrade').value;
  const hardware = answerOf(model, 'hardware');
  const facts: readonly (readonly [string, string])[] =
    status === null
      ? []
      : [
          ['Weir', status.version],
          ['Unit', `${status.unit || '(no name yet)'}, ${status.role}`],
          ['Daemon', `up for ${duration(status.uptimeMs)}, since ${timestamp(status.startedAt)}`],
          ['Kernel', status.kernel],
          ['Revision', status.revision === null ? 'none yet' : String(status.revision)],
          ...(status.replication === null ? [] : [['Pair', status.replication.message] as const]),
        ];
  return [
    heading(look, 'Unit', width, width < WIDE ? KEYS : `${KEYS}  ${MORE_KEYS}`),
    ...factLines(model, facts, width),
    [],
    ...(upgrade === null
      ? []
      : [
          heading(look, 'Slots', width, 'u: upgrade'),
          ...factLines(model, upgradeFacts(upgrade), width),
          [],
        ]),
    ...workerLines(model, width),
    heading(look, 'Hardware', width),
    ...(hardware.value === null
      ? [
          [
            span(
              look,
              hardware.problem ?? 'Asking the daemon.',
              hardware.problem === null ? 'dim' : 'bad',
            ),
          ],
        ]
      : toldLines(model, hardwareText(toldTo(model), hardware.value), width, (line) =>
          line.startsWith('  CHANGE') ? 'warning' : line.startsWith(' ') ? 'plain' : 'bold',
        )),
  ];
}
