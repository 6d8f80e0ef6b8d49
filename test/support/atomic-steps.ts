/**
 * Lets something happen between two steps of code on shared memory: every atomic operation is such
 * a step, so all orders of two workers can be tried in one thread.
 *
 * Invariant: Atomics are as before when `between` returns, whatever happens inside.
 */
const names = ['load', 'store', 'add', 'sub', 'compareExchange'] as const;

/** Runs `work`, and `other` just before its atomic operation number `step`; false: it has fewer. */
export function between(work: () => void, step: number, other: () => void): boolean {
  let count = 0;
  let ran = false;
  const kept = names.map((name) => [name, Reflect.get(Atomics, name) as unknown] as const);
  const restore = (): void => {
    for (const [name, real] of kept) Reflect.set(Atomics, name, real);
  };
  const patch = (): void => {
    for (const [name, real] of kept) {
      if (typeof real !== 'function') throw new Error(`Atomics.${name} is no function`);
      Reflect.set(Atomics, name, (...to: unknown[]): unknown => {
        if (count === step) {
          restore();
          ran = true;
          other();
          patch();
        }
        count += 1;
        return Reflect.apply(real, Atomics, to) as unknown;
      });
    }
  };
  patch();
  try {
    work();
  } finally {
    restore();
  }
  return ran;
}
