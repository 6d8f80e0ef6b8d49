/** Two units as a pair, with both daemons: what the pairing promises when wires and daemons go. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { CommandError, run, within } from './commands.js';
import { cableAddress, PairLab, type Wire } from './pair-lab.js';
import { addressOf } from './topology.js';

const test = suite('pair');

async function reaches(lab: PairLab, address: string): Promise<boolean> {
  const words = ['ping', '-c', '1', '-W', '1', address];
  try {
    await run('nsenter', within(lab.topology.namespace('unit-a'), words).slice(1));
    return true;
  } catch (error) {
    if (error instanceof CommandError) return false;
    throw error;
  }
}

needs.lab(test)('each wire between the units is cut and mended by itself', () =>
  PairLab.run({}, async (lab) => {
    const ends: Readonly<Record<Wire, string>> = {
      inside: addressOf('unit-b', 4),
      outside: addressOf('unit-b', 6, 'outside'),
      cable: cableAddress('unit-b', 4),
    };
    const open = async (): Promise<string[]> => {
      const asked = Object.entries(ends).map(async ([wire, address]) =>
        (await reaches(lab, address)) ? [wire] : [],
      );
      return (await Promise.all(asked)).flat();
    };
    assert.equal(await open(), ['inside', 'outside', 'cable']);
    await lab.cut('cable');
    assert.equal(await open(), ['inside', 'outside']);
    await lab.cut('inside', { silent: true });
    assert.equal(await open(), ['outside']);
    await lab.mend('cable');
    await lab.mend('inside');
    assert.equal(await open(), ['inside', 'outside', 'cable']);
    for (const unit of [lab.a, lab.b]) assert.is((await unit.status()).unit, unit.name);
  }),
);

test.run();
