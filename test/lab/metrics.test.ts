/** Metrics of a real daemon: served where the document says, to whom it says, and equal to the API's. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Counters, MemberRow, ServiceRow, Status } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { readOpenMetrics, type ReadFamily } from '../support/openmetrics.js';
import { run, within } from './commands.js';
import { everyPath } from './configuration.js';
import { Lab } from './lab.js';
import { until } from './unit.js';

const test = suite('metrics');
const TOKEN = 'a-token-of-the-laboratory';
const OPEN = 'Accept: application/openmetrics-text; version=1.0.0';

needs.lab(test)(
  'a scrape says what the API says, on loopback and with a token elsewhere',
  async () => {
    const lab = await Lab.open(everyPath);
    try {
      const file = join(lab.unit.files, 'metrics-token');
      writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 });
      const inside = (...words: string[]): Promise<string> => {
        const [program = '', ...rest] = within(lab.topology.namespace('unit-a'), words);
        return run(program, rest);
      };
      const curl = (...words: string[]): Promise<string> =>
        inside('curl', '--silent', '--max-time', '5', ...words);
      const url = 'http://127.0.0.1:9477/metrics';
      await lab.change((document) => {
        document.unit.metrics = {
          listen: ['127.0.0.1:9477', '192.0.2.9:9477'],
          'token-file': file,
        };
      });
      const statusOf = (): Promise<Status> => lab.unit.get<Status>('/v1/status');
      await until('it listens', 5000, async () => {
        const { metrics } = await statusOf();
        return metrics?.listening.join() === url || JSON.stringify(metrics);
      });
      // An address that is not there yet, …
      assert.match(
        (await statusOf()).alarms.map(({ message }) => message).join('\n'),
        /Metrics are not served at 192\.0\.2\.9:9477: listen EADDRNOTAVAIL/,
      );
      // … and then is.
      await inside('ip', 'address', 'add', '192.0.2.9/32', 'dev', 'lo');
      await until('it listens there too', 10_000, async () => {
        const { metrics } = await statusOf();
        return metrics?.listening.length === 2 || JSON.stringify(metrics);
      });
      const code = ['--output', '/dev/null', '--write-out', '%{http_code}'];
      assert.is(await curl(...code, 'http://192.0.2.9:9477/metrics'), '401');

      const bearer = [
        '--header',
        `Authorization: Bearer ${TOKEN}`,
        '--header',
        OPEN,
        '--compressed',
      ];
      const before = await lab.unit.get<Counters>('/v1/counters');
      const families = readOpenMetrics(await curl(...bearer, 'http://192.0.2.9:9477/metrics'));
      const services = await lab.unit.get<ServiceRow[]>('/v1/services');
      const members = await lab.unit.get<MemberRow[]>('/v1/members');
      assert.ok(services.length > 0 && members.length > 0);
      for (const { name, totals, state, membersServing } of services) {
        const service = { service: name };
        assert.is(valueOf(families, 'weir_service_flows_total', service), totals.flows);
        assert.is(
          valueOf(families, 'weir_service_packets_total', { ...service, direction: 'in' }),
          totals.packets,
        );
        assert.is(valueOf(families, 'weir_service_state', { ...service, state }), 1);
        assert.is(valueOf(families, 'weir_service_members_serving', service), membersServing);
      }
      for (const { pool, member, state, effectiveWeight, totals } of members) {
        const labels = { pool, member };
        assert.is(valueOf(families, 'weir_member_up', labels), state === 'UP' ? 1 : 0);
        assert.is(valueOf(families, 'weir_member_effective_weight', labels), effectiveWeight);
        assert.is(valueOf(families, 'weir_member_flows_total', labels), totals.flows);
      }
      const { drops } = await lab.unit.get<Counters>('/v1/counters');
      for (const [reason, total] of Object.entries(drops)) {
        const said = valueOf(families, 'weir_dropped_packets_total', { reason }) ?? NaN;
        assert.ok(said >= (before.drops[reason] ?? 0) && said <= total, `${reason}: ${said}`);
      }
      assert.ok((valueOf(families, 'weir_disk_size_bytes', {}) ?? 0) > 0);

      await lab.change((document) => {
        delete document.unit.metrics;
      });
      assert.is((await statusOf()).metrics, null);
      // curl's number for a connection that is refused.
      assert.match(await inside('sh', '-c', `curl --silent ${url}; echo $?`), /^7\n$/);
    } finally {
      await lab.close();
    }
  },
);

function valueOf(
  families: ReadonlyMap<string, ReadFamily>,
  name: string,
  wanted: Readonly<Record<string, string>>,
): number | undefined {
  return [...families.values()]
    .flatMap(({ samples }) => samples)
    .find(
      (one) =>
        one.name === name &&
        Object.entries(wanted).every(([key, value]) => one.labels[key] === value),
    )?.value;
}

test.run();
