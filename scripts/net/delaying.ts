/** A cable that holds every packet for a while, where the kernel has no sch_netem: a program between the host and the bridge. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ip } from './tools.ts'

const READY_MS = 3_000

/**
 * Joins an interface to a new TAP. Both carry checksums that are to be made later and segments that are to be cut
 * later (PACKET_VNET_HDR, IFF_VNET_HDR): without that no connection would come about.
 * Arguments: interface, name of the TAP, seconds.
 */
const JOIN = `use strict; use Time::HiRes 'time';
my ($name, $tapName, $delay) = @ARGV;
sysopen(my $tap, '/dev/net/tun', 2 | 2048) or die "tun: $!";
my $wish = pack('a16 S x22', $tapName, 0x0002 | 0x1000 | 0x4000);
ioctl($tap, 0x400454ca, $wish) or die "TUNSETIFF: $!";
socket(my $raw, 17, 3, 0x0300) or die "socket: $!";
my $request = pack('a16 x24', $name);
ioctl($raw, 0x8933, $request) or die "$name: $!";
my $index = unpack('x16 i', $request);
setsockopt($raw, 263, 23, pack('i', 1)) or die "PACKET_IGNORE_OUTGOING: $!";
setsockopt($raw, 263, 15, pack('i', 1)) or die "PACKET_VNET_HDR: $!";
bind($raw, pack('S n i S C C a8', 17, 3, $index, 0, 0, 0, '')) or die "bind: $!";
$| = 1; print "ready\\n";
my @held;
my $mask = ''; vec($mask, fileno($tap), 1) = 1; vec($mask, fileno($raw), 1) = 1;
while (1) {
  my $wait = @held ? $held[0][0] - time() : undef;
  $wait = 0 if defined $wait && $wait < 0;
  if (select(my $there = $mask, undef, undef, $wait) > 0) {
    my $frame;
    push @held, [time() + $delay, $raw, $frame]
      if vec($there, fileno($tap), 1) && sysread($tap, $frame, 70000);
    push @held, [time() + $delay, $tap, $frame]
      if vec($there, fileno($raw), 1) && defined recv($raw, $frame, 70000, 0x40);
  }
  while (@held && $held[0][0] <= time()) {
    my ($due, $to, $frame) = @{shift @held};
    fileno($to) == fileno($tap) ? syswrite($to, $frame) : send($to, $frame, 0);
  }
}`

/** @param cable end of it that is on the bridge `br0` @returns puts it back as it was @throws Error with what is missing */
export async function holdUp(cable: string, ms: number): Promise<() => Promise<void>> {
  const tap = `late-${cable}`.slice(0, 15)
  await ip(`link set ${cable} nomaster`)
  const child = spawn('perl', ['-e', JOIN, cable, tap, String(ms / 1000)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let why = ''
  child.stderr.on('data', text => {
    why += String(text)
  })
  const ended = new Promise<void>(resolve => {
    child.once('error', error => {
      why += error.message
      resolve()
    })
    child.once('exit', () => resolve())
  })
  const undo = async () => {
    child.kill('SIGKILL')
    await ended
    await ip(`link set ${cable} master br0`)
  }
  const late = sleep(READY_MS, 'late', { ref: false })
  const ready = await Promise.race([once(child.stdout, 'data'), ended, late])
  if (!Array.isArray(ready)) {
    await undo()
    throw new Error(`no delay: ${why.trim() || 'the program between does not start'}`)
  }
  await ip(`link set ${tap} master br0 up`)
  return undo
}
