/**
 * Every screen at 80×24 and 160×48, in UTF-8 and in ASCII, as it is in golden/NAME.txt
 * (WEIR_UPDATE_GOLDEN=1 writes them). Below each the styles of its cells, a letter for each.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Alarm, Status } from '../../../appliance/api/contract.js';
import { textOf, widthOf, type Look, type Size } from '../../../tui/frame.js';
import type { Model, Place } from '../../../tui/model.js';
import { view } from '../../../tui/view.js';
import { STATUS } from '../api/fake-daemon.js';
import { NETWORK } from '../api/fake-network.js';
import { LIVE } from '../api/fake-traffic.js';
import { ALONE } from '../api/fake-pair.js';
import {
  after,
  ASCII,
  keys,
  LARGE,
  me,
  SMALL,
  stylesOf,
  THEN,
  UTF8,
  world,
  type World,
} from './world.js';

const test = suite('tui: screens');
const folder = fileURLToPath(new URL('../../../../test/unit/tui/golden/', import.meta.url));

const at = (screen: Place['screen'], name = '', pool = ''): Place => ({ screen, name, pool });

const ALARMS: readonly Alarm[] = Array.from({ length: 9 }, (_, index) => ({
  code: 'member-down',
  severity: index === 4 ? 'error' : 'warning',
  message: `web: 10.0.1.${index + 20}:8080 is down: connection refused`,
  since: THEN - 60_000 * (index + 1),
}));

const PAIRED_STATUS: Status = {
  ...STATUS,
  role: 'master',
  routers: { master: 1, backup: 1, down: 0 },
  replication: {
    ...{ peer: 'weir-b', state: 'in-step', since: null, lacking: 0 },
    message: 'weir-b has the same configuration',
  },
};

const EMPTY: NonNullable<World['answers']> = {
  status: { ...STATUS, revision: null, pendingConfirm: null },
  config: { revision: null, document: null },
};

const FIRST_BOOT: World = {
  place: at('wizard'),
  answers: { ...EMPTY, network: { ...NETWORK, host: [] } },
};

/** Every page up to what the members said. */
const TO_TRIAL: readonly string[] = [
  ...['Enter', 'weir-a', 'Enter', 'shop', 'Enter', '10.0.0.80', 'Enter', '80', 'Enter'],
  ...['Enter', '10.0.1.11:8080 10.0.1.12:8080', 'Enter', 'Down', '/healthz', 'PageDown'],
];

const SCREENS: readonly {
  readonly name: string;
  readonly of: World;
  readonly typed?: readonly string[];
}[] = [
  { name: 'overview', of: {} },
  { name: 'overview-well', of: { answers: { status: { ...STATUS, alarms: [] } } } },
  { name: 'overview-pair', of: { answers: { status: PAIRED_STATUS } } },
  { name: 'overview-many-alarms', of: { answers: { status: { ...STATUS, alarms: ALARMS } } } },
  {
    name: 'overview-empty',
    of: { answers: { status: { ...STATUS, revision: null, alarms: [] }, services: [] } },
  },
  { name: 'overview-day', of: { place: { ...at('overview'), span: '24h' } } },
  { name: 'live-clients', of: { place: at('live', 'clients'), live: LIVE.clients } },
  { name: 'live-urls', of: { place: at('live', 'urls'), live: LIVE.urls } },
  { name: 'live-flows', of: { place: at('live', 'flows'), live: LIVE.flows } },
  { name: 'live-log', of: { place: at('live', 'log'), live: LIVE.log }, typed: [' '] },
  { name: 'live-filter', of: { place: at('live', 'urls'), live: LIVE.urls }, typed: ['/status:5'] },
  { name: 'services', of: { place: at('services') } },
  { name: 'pools', of: { place: at('pools') } },
  { name: 'members', of: { place: at('members') } },
  { name: 'members-sorted', of: { place: at('members') }, typed: ['sss', 'Down'] },
  { name: 'members-filtered', of: { place: at('members') }, typed: ['/web dis'] },
  { name: 'members-drain', of: { place: at('members') }, typed: ['Down', 'Down', 'd'] },
  { name: 'members-weight', of: { place: at('members') }, typed: ['w999', 'Enter'] },
  { name: 'member', of: { place: at('member', '10.0.1.12:8080', 'web') } },
  { name: 'pool', of: { place: at('pool', 'web') } },
  { name: 'service', of: { place: at('service', 'shop') } },
  { name: 'events', of: { place: at('events') } },
  { name: 'tiers', of: { place: at('tiers') } },
  { name: 'config', of: { place: at('config') } },
  { name: 'config-empty', of: { place: at('config'), answers: EMPTY } },
  { name: 'form-service', of: { place: at('object', 'services.shop') } },
  { name: 'form-monitor', of: { place: at('object', 'pools.web.monitor') }, typed: ['Enter'] },
  { name: 'form-unit', of: { place: at('object', 'unit') }, typed: ['jjjjj', 'Enter'] },
  { name: 'diff', of: { place: at('config') }, typed: ['/spare', 'Enter', 'x', 'y', 'D'] },
  { name: 'remove', of: { place: at('config') }, typed: ['/pool maglev', 'Enter', 'x'] },
  { name: 'yaml', of: { place: at('object', 'pools.web') }, typed: ['y', 'Down', ' x'] },
  {
    name: 'yaml-error',
    of: { place: at('object', 'pools.web') },
    typed: ['y', 'End', ': x', 'C-s'],
  },
  { name: 'history', of: { place: at('revisions') } },
  { name: 'revision', of: { place: at('revision', '7') }, typed: ['b'] },
  { name: 'access', of: { place: at('access') } },
  { name: 'access-add', of: { place: at('access') }, typed: ['a192.0.2.9', 'Enter', 'Right'] },
  { name: 'certificate-export', of: { place: at('certificates') }, typed: ['e'] },
  { name: 'pair-prefer', of: { place: at('pair') }, typed: ['P'] },
  { name: 'wizard', of: FIRST_BOOT, typed: ['Enter'] },
  {
    name: 'wizard-error',
    of: FIRST_BOOT,
    typed: ['Enter', 'weir-a', 'Enter', 'shop', 'Enter', '10.0.0.999', 'Enter', '80', 'Enter'],
  },
  {
    // Of a unit whose host is its own.
    name: 'wizard-management',
    of: { ...FIRST_BOOT, answers: EMPTY },
    typed: ['Enter', 'de', 'Enter', 'Europe/Berlin', 'Enter', 'eth0', 'Enter', '10.0.0.1'],
  },
  {
    name: 'wizard-networks',
    of: { ...FIRST_BOOT, answers: EMPTY },
    typed: [
      ...[
        'Enter',
        'de',
        'Enter',
        'Europe/Berlin',
        'Enter',
        'eth0',
        'Enter',
        '10.0.0.1/24',
        'Enter',
      ],
      ...['10.0.0.254', 'Enter', 'Enter', '10.0.1.1/24'],
    ],
  },
  { name: 'wizard-trial', of: FIRST_BOOT, typed: TO_TRIAL },
  { name: 'wizard-commit', of: FIRST_BOOT, typed: [...TO_TRIAL, 'Enter'] },
  { name: 'pair', of: { place: at('pair') } },
  { name: 'pair-failover', of: { place: at('pair') }, typed: ['f'] },
  {
    name: 'pair-alone',
    of: { place: at('pair'), answers: { pair: ALONE, routers: [] } },
    typed: ['p10.0.0.1', 'Tab', 'secret'],
  },
  { name: 'certificates', of: { place: at('certificates') } },
  { name: 'certificate', of: { place: at('certificate', 'shop.example') } },
  { name: 'certificate-request', of: { place: at('certificates') }, typed: ['c'] },
  { name: 'system', of: { place: at('system') } },
  { name: 'network', of: { place: at('network') } },
  { name: 'network-ping', of: { place: at('network') }, typed: ['p10.0.0.254'] },
  { name: 'audit', of: { place: at('audit') } },
  { name: 'audit-refused', of: { place: at('audit') }, typed: ['/403', 'Enter'] },
  { name: 'users', of: { place: at('users'), answers: { me: me('anna', 'administrator') } } },
  {
    name: 'users-new',
    of: { place: at('users') },
    typed: ['notto2', 'Tab', 'Left', 'Tab', 'a password'],
  },
  {
    name: 'not-allowed',
    of: { place: at('members'), answers: { me: me('vera', 'viewer') } },
    typed: ['d'],
  },
  { name: 'help', of: { place: at('members') }, typed: ['?'] },
  { name: 'help-config', of: { place: at('config') }, typed: ['?', 'Down'] },
  { name: 'palette', of: {}, typed: [':dr'] },
];

const VARIANTS: readonly { readonly name: string; readonly size: Size; readonly look: Look }[] = [
  { name: '80x24', size: SMALL, look: UTF8 },
  { name: '80x24 in ASCII', size: SMALL, look: ASCII },
  { name: '160x48', size: LARGE, look: UTF8 },
  { name: '160x48 in ASCII', size: LARGE, look: ASCII },
];

function drawn(of: World, typed: readonly string[], size: Size, look: Look): Model {
  return after(world({ ...of, size, look }), ...keys(...typed));
}

for (const { name, of, typed = [] } of SCREENS) {
  test(`${name} is the one in golden/${name}.txt`, () => {
    const seen = VARIANTS.map((variant) => {
      const lines = view(drawn(of, typed, variant.size, variant.look));
      const styles = variant.look.unicode ? `styles:\n${stylesOf(lines)}` : '';
      return `== ${variant.name}\n${textOf(lines)}${styles}`;
    }).join('\n');
    const golden = `${folder}${name}.txt`;
    if (process.env['WEIR_UPDATE_GOLDEN'] === '1') writeFileSync(golden, seen);
    assert.fixture(seen, readFileSync(golden, 'utf8'));
  });

  test(`${name} fills its size exactly, whatever the size`, () => {
    for (const [columns, rows] of [
      [60, 15],
      [80, 24],
      [81, 25],
      [119, 30],
      [120, 30],
      [200, 60],
      [10, 3],
      [1, 1],
    ] as const) {
      const lines = view(drawn(of, typed, { columns, rows }, UTF8));
      assert.is(
        lines.length,
        rows,
        `${columns}x${rows}: expected ${rows} lines, seen ${lines.length}`,
      );
      for (const [index, line] of lines.entries()) {
        const width = widthOf(line);
        assert.is(width, columns, `${columns}x${rows}, line ${index + 1}: ${width} cells`);
      }
    }
  });

  test(`${name} in ASCII has nothing else`, () => {
    const text = textOf(view(drawn(of, typed, SMALL, ASCII)));
    const other = [...text].filter((sign) => sign !== '\n' && (sign < ' ' || sign > '~'));
    assert.equal(other, []);
  });
}

test('no key is explained by half a sentence', () => {
  const places: readonly Place['screen'][] = [
    ...(['overview', 'services', 'pools', 'members', 'events', 'tiers', 'config', 'pair'] as const),
    ...([
      'certificates',
      'system',
      'live',
      'audit',
      'users',
      'object',
      'changes',
      'editor',
    ] as const),
    ...(['revisions', 'revision', 'certificate', 'service', 'pool', 'member', 'access'] as const),
  ];
  const cut = places.flatMap((screen) => {
    const tall = { columns: 80, rows: 60 };
    const model = after(world({ place: at(screen), size: tall }), ...keys('?'));
    const lines = textOf(view(model)).split('\n');
    return lines.filter((line) => /│ .*… │/.test(line)).map((line) => `${screen}: ${line.trim()}`);
  });
  assert.equal(cut, []);
});

test.run();
