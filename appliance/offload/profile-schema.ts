/**
 * What a hardware profile says: one data file per NIC family in firmware-profiles/.
 *
 * Invariant: this schema and firmware-profiles/profile.schema.json, which editors read, say the
 * same; a test compares them.
 */
import { z } from 'zod';

const sentence = z.string().min(1);

export const xdpModeSchema = z.enum(['native', 'generic']);
/** `native`: in the driver, before a socket buffer exists. `generic`: after it, in any driver. */
export type XdpMode = z.output<typeof xdpModeSchema>;

const tableSizesSchema = z
  .strictObject({
    'memory-mib': z.int().min(0).describe('Holds from this much memory of the machine on, in MiB.'),
    flows: z
      .int()
      .min(1024)
      .max(1 << 26)
      .describe('Entries of the flow table, about 160 bytes each.'),
    'lookup-chunks': z
      .int()
      .min(4096)
      .max(1 << 24)
      .describe('Chunks of 16 lookup slots, 64 bytes each.'),
  })
  .describe('Table sizes for machines of some memory.');

export const profileSchema = z
  .strictObject({
    $schema: z.string().optional(),
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9_-]*$/)
      .describe('Name of the profile, the same as its file.'),
    title: sentence.describe('What hardware this is, in a few words.'),
    match: z
      .strictObject({
        drivers: z
          .array(z.string().min(1))
          .describe(
            'Names as the driver itself gives them (ethtool -i). Empty: for everything that no other profile matches.',
          ),
      })
      .describe('Which interfaces this profile is for.'),
    xdp: z
      .strictObject({
        modes: z.array(xdpModeSchema).min(1).max(2).describe('Modes to try, the best first.'),
        why: sentence.describe('Why in this order.'),
        'native-mtu': z
          .int()
          .min(1280)
          .nullable()
          .describe('Largest MTU that native mode takes with 4 KiB pages; null: not known.'),
        'transmit-queues': z
          .enum(['shared', 'per-cpu', 'per-queue', 'unknown'])
          .describe(
            'By which queues XDP sends: those of the kernel, one more per CPU, or one more per receive queue.',
          ),
        redirect: z
          .boolean()
          .default(true)
          .describe('Whether native mode can send a frame out of another interface.'),
        offload: sentence
          .optional()
          .describe('What the card can run by itself. Left out: no XDP program.'),
      })
      .describe('How XDP programs run here.'),
    queues: z
      .strictObject({
        advice: sentence,
        want: z
          .enum(['per-cpu', 'none'])
          .describe('One combined queue for each CPU, or nothing that could be set.'),
        required: z
          .boolean()
          .default(false)
          .describe('Whether packets are lost with fewer queues than wanted.'),
        'max-share': z
          .number()
          .gt(0)
          .max(1)
          .default(1)
          .describe('Part of all queues that may be in use for native mode.'),
        'combined-only': z
          .boolean()
          .default(false)
          .describe('Whether native mode needs combined queues instead of separate ones.'),
        'spare-per-cpu': z
          .boolean()
          .default(false)
          .describe('Whether XDP sends fast only with one unused queue for each CPU.'),
      })
      .describe('Receive and transmit queues.'),
    rings: z
      .strictObject({
        advice: sentence,
        receive: z
          .int()
          .min(64)
          .max(65536)
          .nullable()
          .describe('Receive descriptors to have, or as many as there are; null: as they are.'),
      })
      .describe('Descriptor rings.'),
    rss: z
      .strictObject({
        advice: sentence,
        'hash-ports': z
          .boolean()
          .describe('Whether the hash can be told to look at ports, and should.'),
      })
      .describe('How packets spread over queues.'),
    offloads: z
      .array(
        z.strictObject({
          feature: z.string().min(1).describe('Name as ethtool -k prints it.'),
          side: z
            .enum(['interface', 'peer'])
            .describe('On the interface itself, or on the other end of the pair.'),
          when: z
            .enum(['always', 'vlan'])
            .default('always')
            .describe('Only where the fast path meets VLAN tags, or everywhere.'),
          why: sentence,
        }),
      )
      .describe('Offloads to switch off.'),
    tables: z
      .array(tableSizesSchema)
      .min(1)
      .describe('In the order of memory, the first from 0 MiB.'),
    quirks: z.array(sentence).describe('What else an administrator should know.'),
    sources: z
      .array(sentence)
      .min(1)
      .describe('What this was taken from: files of the kernel tree, and manuals by their titles.'),
  })
  .refine(({ xdp }) => new Set(xdp.modes).size === xdp.modes.length, {
    path: ['xdp', 'modes'],
    error: 'names a mode twice',
  })
  .refine(({ tables }) => tables[0]?.['memory-mib'] === 0, {
    path: ['tables', 0, 'memory-mib'],
    error: 'the first row must be for 0 MiB and up, so that every machine has one',
  })
  .refine(
    ({ tables }) =>
      tables.every(
        (row, index) => index === 0 || row['memory-mib'] > (tables[index - 1]?.['memory-mib'] ?? 0),
      ),
    { path: ['tables'], error: 'must be in the order of memory' },
  );

export type Profile = z.output<typeof profileSchema>;
export type TableSizes = z.output<typeof tableSizesSchema>;
