/** The benchmark of layer 7 measures what it says: its peers do all of the scene, wrong answers fail. */
import { existsSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cases, type Case } from '../bench/l7-cases.js';
import { haproxy, nginx } from '../bench/l7-peers.js';
import type { Proxy } from '../bench/l7-scene.js';
import { Stage } from '../bench/l7-stage.js';
import { weir } from '../bench/l7-weir.js';
import { lacking, needs } from '../support/needs.js';

const test = suite('benchmark of layer 7');
const live = lacking('uring') === null ? needs['http-peers'](test) : needs.uring(test);

const timing = { warmUpMs: 20, measureMs: 50 };

function caseOf(name: string): Case {
  const found = cases.find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no case ${name}`);
  return found;
}

async function onStage(proxies: readonly Proxy[], work: (stage: Stage) => Promise<void>) {
  const stage = await Stage.open(proxies, 1);
  try {
    await work(stage);
  } finally {
    await stage.close();
  }
}

live('HAProxy and nginx do all of the scene, and every kind of case measures them', async () => {
  const names = ['keepalive.64', 'body64k.1', 'body10m.1', 'connect.64'];
  await onStage([haproxy(), nginx()], async (stage) => {
    assert.equal(
      stage.running.map(({ name }) => name),
      ['direct', 'haproxy', 'nginx'],
    );
    for (const name of names) {
      for (const who of stage.running) {
        const { answers, cpu, p50, p99, p999 } = await stage.measure(caseOf(name), who, timing);
        assert.ok(answers > 0 && cpu > 0, `${name}, ${who.name}: ${answers} answers, ${cpu} ns`);
        assert.ok(p50 <= p99 && p99 <= p999, `${name}, ${who.name}: ${p50}, ${p99}, ${p999} µs`);
      }
    }
  });
});

live('over TLS, clients come by whole handshakes or by sessions, as the case says', async () => {
  await onStage([weir(), haproxy(), nginx()], async (stage) => {
    for (const name of ['tls.64', 'tls.handshake', 'tls.resumed']) {
      for (const who of stage.running.filter((one) => one.proxy !== null)) {
        const { answers } = await stage.measure(caseOf(name), who, timing);
        assert.ok(answers > 0, `${name}, ${who.name}: no answers`);
      }
    }
  });
});

live('a proxy that leaves something out is refused before anything is timed', async () => {
  const lazy: Proxy = { ...nginx() };
  const without: Proxy = {
    ...lazy,
    start: (settings) => {
      const [first, ...others] = settings.scene.routes;
      if (first === undefined) throw new Error('the scene has no routes');
      const routes = [{ ...first, pool: 'p1' }, ...others];
      return lazy.start({ ...settings, scene: { ...settings.scene, routes } });
    },
  };
  try {
    await (await Stage.open([without], 1)).close();
    assert.unreachable('a proxy with a wrong route was taken');
  } catch (error) {
    assert.match(String(error), /nginx, h0\.example\/s0\/: it went to p1\/m\d instead of p0/);
  }
});

live('an answer that is not the expected one ends the measurement with what was seen', async () => {
  await onStage([], async (stage) => {
    const [direct] = stage.running;
    if (direct === undefined) throw new Error('nobody runs');
    const keepalive = caseOf('keepalive.1');
    const proxied = { ...direct, proxy: haproxy() };
    try {
      await stage.measure(keepalive, proxied, timing);
      assert.unreachable('an answer without a cookie was taken');
    } catch (error) {
      assert.match(String(error), /keepalive\.1, direct: the proxy gave no cookie SRV/);
    }
    // The load goes on with the next task.
    assert.ok((await stage.measure(keepalive, direct, timing)).answers > 0);
  });
});

live('nothing of it is left, and the machine’s own network is as before', async () => {
  const before = readFileSync('/proc/self/net/dev', 'utf8').split('\n').length;
  let pids: number[] = [];
  await onStage([haproxy(), nginx()], async (stage) => {
    pids = stage.running.map(({ pid }) => pid);
  });
  assert.is(readFileSync('/proc/self/net/dev', 'utf8').split('\n').length, before);
  for (const pid of pids) assert.not(existsSync(`/proc/${pid}`), `process ${pid} still runs`);
});

test.run();
